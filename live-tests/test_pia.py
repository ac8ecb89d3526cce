"""PIA itself, as this product speaks to it: run by `make test-live`, with an account of yours.

Makes one login, fetches the server list, and registers one key that is never used.
"""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519

from piavpn.api import gateway_config, piavpns
from piavpn.pia import errors, latency, locations, login, registration, serverlist

REGION = os.environ.get("PIA_REGION", "swiss")


@pytest.fixture(scope="session")
def token() -> str:
    """One login for all tests: logins are what PIA limits."""
    username, password = os.environ["PIA_USERNAME"], os.environ["PIA_PASSWORD"]
    return login.login(piavpns.TOKEN_URL, username, password, ca_bundle=None)


@pytest.fixture(scope="session")
def servers() -> serverlist.ServerList:
    raw = serverlist.fetch(piavpns.SERVER_LIST_URL, ca_bundle=None)
    return serverlist.parse(raw, public_key=None)


def server(servers: serverlist.ServerList) -> gateway_config.Server:
    found = locations.candidates(servers, location=REGION, latencies={}).servers
    assert found, locations.explain_unknown(servers, REGION)
    return found[0]


def test_a_login_gives_a_token(token: str) -> None:
    assert token


def test_the_list_is_signed_with_pia_s_key_and_names_servers(
    servers: serverlist.ServerList,
) -> None:
    assert len(servers.regions) > 50
    assert any(region.port_forward for region in servers.regions)


def test_servers_answer_where_the_gateway_registers(servers: serverlist.ServerList) -> None:
    at = server(servers)
    assert latency.measure([(at.address, at.port)], timeout=5)


def test_a_server_takes_a_key_and_says_what_the_tunnel_needs(
    servers: serverlist.ServerList, token: str
) -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    answer = registration.add_key(
        server(servers),
        token=token,
        public_key=base64.b64encode(raw).decode(),
        ca_bundle=None,
        proxy=None,
    )
    assert answer.dns_servers


def test_a_token_that_pia_did_not_give_is_rejected(servers: serverlist.ServerList) -> None:
    key = base64.b64encode(b"\x09" * 32).decode()
    with pytest.raises(errors.TokenRejected):
        registration.add_key(
            server(servers), token="0" * 128, public_key=key, ca_bundle=None, proxy=None
        )
