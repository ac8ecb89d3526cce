"""PIA's signed list of regions and servers.

Format (v6, as pia-foss' clients read it): one line of JSON, an empty line, and a base64 signature:
RSASSA-PKCS1-v1_5 with SHA-256 over the exact bytes of the JSON line.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from importlib import resources
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from piavpn.pia import calls, errors, https

PUBLIC_KEY_FILE = "serverlist.public.pem"
"""The key that every client of PIA's carries, e.g. in pia-foss/desktop's environment.cpp."""
DEFAULT_PORT = 1337
"""TCP port of addKey and UDP port of WireGuard, where the list names none."""
_LIMIT = 4 * 1024 * 1024
_REGION_ID = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_CN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_MAX_PORT = 65535


@dataclasses.dataclass(frozen=True, slots=True)
class WireGuardServer:
    """One server: address and name belong together, other protocols' differ."""

    cn: str
    address: ipaddress.IPv4Address


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """A location. The list samples its servers: each fetch gives others."""

    id: str
    name: str
    country: str
    port_forward: bool
    geo: bool
    """Whether the servers stand elsewhere and only their addresses are of the country."""
    offline: bool
    servers: tuple[WireGuardServer, ...]
    auto_region: bool = True
    """Whether PIA wants it chosen by latency; its streaming regions are asked for by name."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServerList:
    """The list, verified."""

    regions: tuple[Region, ...]
    port: int


@calls.counted("serverList")
def fetch(url: str, *, ca_bundle: str | None, timeout: float = 10.0) -> bytes:
    """Return the list as served, to be kept and parsed; `timeout` is in seconds.

    Raises:
        PiaError: as `https.public`.
    """
    response = https.public(url, ca_bundle=ca_bundle, timeout=timeout, limit=_LIMIT)
    if response.status != HTTPStatus.OK:
        raise errors.Unreachable(f"the server list was answered with HTTP {response.status}")
    return response.body


def parse(raw: bytes, public_key: str | None) -> ServerList:
    """Verify the list and read it. What one cannot read of a region or server is left out.

    Args:
        raw: the list as served.
        public_key: PEM of another key to verify it with than PIA's.

    Raises:
        BadSignature: it is not signed with the key.
        BadResponse: it is signed and no list, or has no server at all.
        InvalidEndpoint: `public_key` is not the PEM of an RSA public key.
    """
    document = _load(_verified(raw, _key(public_key)))
    regions: dict[str, Region] = {}
    for entry in _objects(document.get("regions")):
        region = _region(entry)
        if region is not None:
            regions.setdefault(region.id, region)
    if not any(region.servers for region in regions.values()):
        raise errors.BadResponse("the server list names no WireGuard server")
    return ServerList(tuple(regions.values()), _port(document))


def _key(pem: str | None) -> rsa.RSAPublicKey:
    if pem is None:
        pem = resources.files(__package__).joinpath(PUBLIC_KEY_FILE).read_text("ascii")
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise errors.InvalidEndpoint(
            "spec.endpoints.serverListPublicKey is not a PEM public key"
        ) from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise errors.InvalidEndpoint("spec.endpoints.serverListPublicKey is not an RSA key")
    return key


def _verified(raw: bytes, key: rsa.RSAPublicKey) -> bytes:
    line, _, tail = raw.partition(b"\n")
    try:
        signature = base64.b64decode(b"".join(tail.split()), validate=True)
        key.verify(signature, line, padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, InvalidSignature) as error:
        raise errors.BadSignature(
            "the server list is not signed by PIA: it was damaged or replaced on its way;"
            " the last good list stays in use"
        ) from error
    return line


def _load(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.BadResponse("the server list is signed and not JSON") from error
    if not isinstance(document, dict):
        raise errors.BadResponse("the server list is signed and not a JSON object")
    return document


def _region(entry: dict[str, Any]) -> Region | None:
    identity = entry.get("id")
    if not isinstance(identity, str) or not _REGION_ID.fullmatch(identity):
        return None
    groups = entry.get("servers")
    servers = _objects(groups.get("wg")) if isinstance(groups, dict) else ()
    return Region(
        id=identity,
        name=_text(entry, "name", identity),
        country=_text(entry, "country", ""),
        port_forward=entry.get("port_forward") is True,
        geo=entry.get("geo") is True,
        offline=entry.get("offline") is True,
        servers=tuple(server for item in servers if (server := _server(item))),
        auto_region=entry.get("auto_region") is not False,
    )


def _server(entry: dict[str, Any]) -> WireGuardServer | None:
    cn, address = entry.get("cn"), entry.get("ip")
    if not isinstance(cn, str) or not _CN.fullmatch(cn) or not isinstance(address, str):
        return None
    try:
        return WireGuardServer(cn, ipaddress.IPv4Address(address))
    except ValueError:
        return None


def _port(document: dict[str, Any]) -> int:
    """Return the first port of the WireGuard group, as pia-foss' clients use it."""
    groups = document.get("groups")
    group = next(_objects(groups.get("wg")), {}) if isinstance(groups, dict) else {}
    ports = group.get("ports")
    port = ports[0] if isinstance(ports, list) and ports else None
    return port if type(port) is int and 0 < port <= _MAX_PORT else DEFAULT_PORT


def _objects(value: object) -> Iterator[dict[str, Any]]:
    items = value if isinstance(value, list) else []
    return (item for item in items if isinstance(item, dict))


def _text(entry: dict[str, Any], key: str, default: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else default
