"""Make a WireGuard server know our key (`addKey`), and learn what the tunnel needs.

Source: pia-foss/manual-connections connect_to_wireguard_with_token.sh. A server keeps one key for
each account: a second registration there ends the first tunnel. A dedicated IP's server takes the
dedicated IP's own token, as a password's user name.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
import urllib.parse
from http import HTTPStatus
from typing import Any

from piavpn.api import gateway_config
from piavpn.pia import calls, errors, https, tls

_KEY_BYTES = 32
_MAX_PORT = 65535
_LOGIN_FAILED = "login failed!"


@dataclasses.dataclass(frozen=True, slots=True)
class Registration:
    """What a server tells of itself and of our place in it."""

    server_key: str
    """The server's WireGuard public key, base64."""
    endpoint_address: ipaddress.IPv4Address
    endpoint_port: int
    """UDP port of the server's WireGuard."""
    server_vip: ipaddress.IPv4Address
    """The server's address inside the tunnel: it answers pings there, and forwards ports."""
    peer_address: ipaddress.IPv4Address
    """Our address inside the tunnel."""
    dns_servers: tuple[ipaddress.IPv4Address, ...]
    """Resolvers inside the tunnel; at least one."""


@calls.counted("addKey")
def add_key(  # noqa: PLR0913 - what addKey needs to be told
    server: gateway_config.Server,
    *,
    token: str,
    public_key: str,
    ca_bundle: str | None,
    proxy: tuple[str, int] | None,
    dedicated_ip: bool = False,
    timeout: float = 10.0,
) -> Registration:
    """Register `public_key` (base64) at the server; `timeout` is in seconds for the whole call.

    `token` is the account's, or that of the `dedicated_ip`.

    Raises:
        TokenRejected: the server wants a token of a new login; other servers will, too.
        BadCertificate: what answers there is not this server; try the next.
        PiaError: as `https.exchange`, or BadResponse for any other answer; try the next.
    """
    peer = https.Peer(server.cn, server.port, str(server.address), proxy)
    request = _request(server, token, public_key, dedicated_ip=dedicated_ip)
    try:
        response = https.exchange(
            peer, request, context=tls.pia_context(ca_bundle), timeout=timeout
        )
    except errors.BadCertificate as error:
        raise errors.BadCertificate(f"{error}; the next server is tried") from error
    answer = _accepted(peer, response, public_key)
    try:
        return _registration(server, answer)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.BadResponse(
            f"{peer} registered the key and left out, or garbled, what the tunnel needs"
        ) from error


def _request(
    server: gateway_config.Server, token: str, public_key: str, *, dedicated_ip: bool
) -> https.Request:
    if not dedicated_ip:
        query = urllib.parse.urlencode({"pt": token, "pubkey": public_key})
        return https.Request("GET", f"/addKey?{query}")
    user = base64.b64encode(f"dedicated_ip_{token}:{server.address}".encode()).decode()
    query = urllib.parse.urlencode({"pubkey": public_key})
    return https.Request("GET", f"/addKey?{query}", headers={"Authorization": f"Basic {user}"})


def _accepted(peer: https.Peer, response: https.Response, public_key: str) -> dict[str, Any]:
    """Return the answer of a server that took this key."""
    answer = response.json_object()
    message = str(answer.get("message", ""))
    failed = message.strip().lower() == _LOGIN_FAILED
    if failed or response.status == HTTPStatus.UNAUTHORIZED:
        raise errors.TokenRejected(
            f"{peer} rejects the account's token: it has expired, or the account is locked"
        )
    if response.status != HTTPStatus.OK or answer.get("status") != "OK":
        raise errors.BadResponse(f"{peer} does not register the key (HTTP {response.status})")
    if answer.get("peer_pubkey") != public_key:
        raise errors.BadResponse(f"{peer} registered another key than ours")
    return answer


def _registration(server: gateway_config.Server, answer: dict[str, Any]) -> Registration:
    # The address of the list, not the answer's `server_ip`: it is what the certificate was shown
    # at, and what the node lets the tunnel's packets go to.
    return Registration(
        server_key=_wireguard_key(answer["server_key"]),
        endpoint_address=server.address,
        endpoint_port=_port(answer["server_port"]),
        server_vip=_address(answer["server_vip"]),
        peer_address=_address(answer["peer_ip"]),
        dns_servers=_resolvers(answer["dns_servers"]),
    )


def _wireguard_key(value: object) -> str:
    text = _text(value)
    try:
        length = len(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if length != _KEY_BYTES:
        raise ValueError("not a WireGuard key")
    return text


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value <= _MAX_PORT:
        raise ValueError("not a port")
    return value


def _resolvers(value: object) -> tuple[ipaddress.IPv4Address, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("no resolver")
    return tuple(_address(item) for item in value)


def _address(value: object) -> ipaddress.IPv4Address:
    """Read an address with or without a prefix length: clients have met both."""
    return ipaddress.IPv4Interface(_text(value)).ip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
