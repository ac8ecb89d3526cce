from __future__ import annotations

import base64
import ipaddress
import json
import socket
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pia_server
import pytest
from cryptography import x509
from pia_server import Reply

from piavpn.api import gateway_config
from piavpn.pia import errors, registration

AUTHORITY = pia_server.Authority("Private Internet Access")
CN = "Server-12399-1a"
TOKEN = "to+ken/=&"
OUR_KEY = base64.b64encode(b"\xfb" * 32).decode()
SERVER_KEY = base64.b64encode(b"\x01" * 32).decode()
ANSWER = {
    "status": "OK",
    "server_key": SERVER_KEY,
    "server_port": 1337,
    "server_ip": "198.18.12.1",
    "server_vip": "10.5.128.1",
    "peer_ip": "10.5.157.46",
    "peer_pubkey": OUR_KEY,
    "dns_servers": ["10.0.0.243", "10.0.0.242"],
}
REGISTERED = registration.Registration(
    server_key=SERVER_KEY,
    endpoint_address=ipaddress.IPv4Address("127.0.0.1"),
    endpoint_port=1337,
    server_vip=ipaddress.IPv4Address("10.5.128.1"),
    peer_address=ipaddress.IPv4Address("10.5.157.46"),
    dns_servers=(ipaddress.IPv4Address("10.0.0.243"), ipaddress.IPv4Address("10.0.0.242")),
)
OK = Reply(200, json.dumps(ANSWER))

Issue = Callable[..., Path]


@pytest.fixture(scope="module")
def issue(tmp_path_factory: pytest.TempPathFactory) -> Issue:
    directory = tmp_path_factory.mktemp("server")

    def leaf(cn: str, **options: Any) -> Path:
        return AUTHORITY.issue(directory, cn, **options)

    return leaf


@pytest.fixture(scope="module")
def certificate(issue: Issue) -> Path:
    return issue(CN)


def register(
    port: int, *, proxy: tuple[str, int] | None = None, ca_bundle: str | None = AUTHORITY.pem
) -> registration.Registration:
    server = gateway_config.Server("nl_amsterdam", CN, ipaddress.IPv4Address(pia_server.HOST), port)
    return registration.add_key(
        server, token=TOKEN, public_key=OUR_KEY, ca_bundle=ca_bundle, proxy=proxy, timeout=5
    )


def refusal(certificate: Path, reply: Reply) -> errors.PiaError:
    with (
        pia_server.serving(certificate, reply) as server,
        pytest.raises(errors.PiaError) as caught,
    ):
        register(server.port)
    return caught.value


def changed(**fields: Any) -> Reply:
    return Reply(200, json.dumps(ANSWER | fields))


def without(field: str) -> Reply:
    return Reply(200, json.dumps({name: ANSWER[name] for name in ANSWER if name != field}))


def test_a_registration_says_all_that_the_tunnel_needs(certificate: Path) -> None:
    with pia_server.serving(certificate, OK) as server:
        assert register(server.port) == REGISTERED

    (call,) = server.calls
    path, _, query = call.target.partition("?")
    assert (call.method, path) == ("GET", "/addKey")
    assert urllib.parse.parse_qs(query) == {"pt": [TOKEN], "pubkey": [OUR_KEY]}
    assert server.names_asked_for == [CN]


def test_a_dedicated_ip_registers_with_its_own_token_and_not_in_the_address(
    certificate: Path,
) -> None:
    with pia_server.serving(certificate, OK) as server:
        at = ipaddress.IPv4Address(pia_server.HOST)
        registration.add_key(
            gateway_config.Server("dedicated-nl", CN, at, server.port),
            token="DIP0123",
            public_key=OUR_KEY,
            ca_bundle=AUTHORITY.pem,
            proxy=None,
            dedicated_ip=True,
        )

    (call,) = server.calls
    assert urllib.parse.parse_qs(call.target.partition("?")[2]) == {"pubkey": [OUR_KEY]}
    scheme, _, user = call.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(user)) == ("Basic", b"dedicated_ip_DIP0123:127.0.0.1")


def test_addresses_may_have_a_prefix_length(certificate: Path) -> None:
    reply = changed(peer_ip="10.5.157.46/17", server_vip="10.5.128.1/32")
    with pia_server.serving(certificate, reply) as server:
        assert register(server.port) == REGISTERED


@pytest.mark.parametrize("name", [CN, CN.lower()])
def test_a_leaf_with_an_alternative_name_is_accepted(issue: Issue, name: str) -> None:
    with pia_server.serving(issue("other", names=(x509.DNSName(name),)), OK) as server:
        assert register(server.port) == REGISTERED


@pytest.mark.parametrize("cn", [CN, CN.lower()])
def test_a_leaf_with_a_common_name_alone_is_accepted(issue: Issue, cn: str) -> None:
    with pia_server.serving(issue(cn), OK) as server:
        assert register(server.port) == REGISTERED


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        ({"cn": "zurich401"}, "Hostname mismatch"),
        ({"cn": CN, "names": (x509.DNSName("zurich401"),)}, "Hostname mismatch"),
        (
            {"cn": "x", "names": (x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),)},
            "Hostname mismatch",
        ),
        ({"cn": CN, "expired": True}, "certificate has expired"),
    ],
)
def test_a_server_with_a_bad_certificate_never_sees_the_token(
    issue: Issue, leaf: dict[str, Any], why: str
) -> None:
    with (
        pia_server.serving(issue(**leaf), OK) as server,
        pytest.raises(errors.BadCertificate) as caught,
    ):
        register(server.port)

    assert caught.value.message.startswith(
        f"the certificate of {CN} (127.0.0.1:{server.port}) is refused: {why}"
    )
    assert caught.value.message.endswith("; the next server is tried")
    assert server.calls == []


def test_a_server_of_another_ca_never_sees_the_token(certificate: Path) -> None:
    with (
        pia_server.serving(certificate, OK) as server,
        pytest.raises(errors.BadCertificate, match=r"self-signed|unable to get"),
    ):
        register(server.port, ca_bundle=None)

    assert server.calls == []


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_a_failed_login_rejects_the_token_whatever_the_code(certificate: Path, status: int) -> None:
    reply = Reply(status, '{"status":"ERROR","message":"Login failed!"}')

    assert isinstance(refusal(certificate, reply), errors.TokenRejected)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, '{"status":"ERROR","message":"no such thing"}'),
        Reply(200, "<html>504 Gateway Time-out</html>"),
        Reply(500, json.dumps(ANSWER)),
        Reply(302, "", {"Location": "https://127.0.0.1/"}),
        changed(peer_pubkey=SERVER_KEY),
        without("peer_pubkey"),
        without("status"),
        without("server_key"),
        without("server_port"),
        without("server_vip"),
        without("peer_ip"),
        without("dns_servers"),
        changed(server_key="short"),
        changed(server_key=base64.b64encode(b"\x01" * 31).decode()),
        changed(server_key=1),
        changed(server_port="1337"),
        changed(server_port=0),
        changed(server_port=65536),
        changed(server_port=True),
        changed(server_vip="10.5.128"),
        changed(peer_ip=None),
        changed(peer_ip=168430090),
        changed(peer_ip="fd00::1"),
        changed(dns_servers=[]),
        changed(dns_servers="10.0.0.243"),
        changed(dns_servers=["10.0.0.243", "dns.example"]),
    ],
)
def test_any_other_answer_is_a_bad_response(certificate: Path, reply: Reply) -> None:
    error = refusal(certificate, reply)

    assert isinstance(error, errors.BadResponse)
    assert TOKEN not in error.message
    assert urllib.parse.quote_plus(TOKEN) not in error.message


def test_the_proxy_is_asked_for_the_address_and_the_server_by_its_name(certificate: Path) -> None:
    with pia_server.serving(certificate, OK) as server:
        target = f"127.0.0.1:{server.port}"
        with pia_server.proxying(target) as proxy:
            assert register(server.port, proxy=proxy.address) == REGISTERED

    assert proxy.asked_for == [target]
    assert server.names_asked_for == [CN]


def test_a_certificate_is_verified_through_the_proxy_too(issue: Issue) -> None:
    with pia_server.serving(issue("zurich401"), OK) as server:
        target = f"127.0.0.1:{server.port}"
        with (
            pia_server.proxying(target) as proxy,
            pytest.raises(errors.BadCertificate, match="Hostname mismatch"),
        ):
            register(server.port, proxy=proxy.address)

    assert server.calls == []


def test_a_proxy_that_refuses_is_told_from_a_server_that_does(certificate: Path) -> None:
    with (
        pia_server.serving(certificate, OK) as server,
        pia_server.proxying() as proxy,
        pytest.raises(errors.NotLetThrough, match=r"bootstrap proxy refused .* allow-list"),
    ):
        register(server.port, proxy=proxy.address)

    assert server.calls == []


def test_a_server_that_the_proxy_cannot_reach_is_named() -> None:
    with socket.create_server((pia_server.HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with (
        pia_server.proxying(f"127.0.0.1:{port}") as proxy,
        pytest.raises(errors.Unreachable, match=r"proxy could not connect .*: 500 Unable"),
    ):
        register(port, proxy=proxy.address)


def test_a_proxy_that_is_away_is_named() -> None:
    with socket.create_server((pia_server.HOST, 0)) as closed:
        address = closed.getsockname()
    with pytest.raises(
        errors.Unreachable, match=r"bootstrap proxy .* cannot be reached: .*refused"
    ):
        register(1337, proxy=address)


@pytest.mark.parametrize("noise", [b"", b"\x00" * 100_000, b"HTTP/1.1 200", b"220 mail\r\n\r\n"])
def test_a_proxy_that_is_none_is_told(noise: bytes) -> None:
    with (
        pia_server.talking(lambda peer: peer.sendall(noise)) as port,
        pytest.raises(errors.Unreachable),
    ):
        register(1337, proxy=(pia_server.HOST, port))
