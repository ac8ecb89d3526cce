from __future__ import annotations

import base64
import copy
import functools
import ipaddress
import json
import os
import random
from pathlib import Path
from typing import Any

import pia_server
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pia_server import Reply

from piavpn.pia import errors, serverlist
from piavpn.pia.serverlist import Region, ServerList, WireGuardServer

FIXTURE = "PIAVPN_SERVER_LIST_FIXTURE"
KEY = pia_server.new_key()
PUBLIC_KEY = pia_server.public_pem(KEY)
DOCUMENT: dict[str, Any] = {
    "groups": {
        "ovpnudp": [{"name": "openvpn_udp", "ports": [8080, 53]}],
        "awg": [{"name": "amnezia", "ports": [1338]}],
        "wg": [{"name": "wireguard", "ports": [1339, 1]}],
    },
    "regions": [
        {
            "id": "swiss",
            "name": "Switzerland",
            "country": "CH",
            "auto_region": True,
            "dns": "swiss.privacy.network",
            "port_forward": True,
            "geo": False,
            "offline": False,
            "servers": {
                "ovpnudp": [{"ip": "198.18.11.9", "cn": "zurich401", "van": True}],
                "wg": [
                    {"ip": "198.18.11.1", "cn": "zurich401"},
                    {"ip": "198.18.11.2", "cn": "Server-12399-1a", "new": {}},
                ],
            },
        },
        {
            "id": "panama",
            "name": "Panama",
            "country": "PA",
            "auto_region": False,
            "port_forward": False,
            "geo": True,
            "offline": True,
            "servers": {"wg": [{"ip": "198.18.15.1", "cn": "panama401"}]},
        },
    ],
}
SWISS = Region(
    id="swiss",
    name="Switzerland",
    country="CH",
    port_forward=True,
    geo=False,
    offline=False,
    servers=(
        WireGuardServer("zurich401", ipaddress.IPv4Address("198.18.11.1")),
        WireGuardServer("Server-12399-1a", ipaddress.IPv4Address("198.18.11.2")),
    ),
    auto_region=True,
)
PANAMA = Region(
    id="panama",
    name="Panama",
    country="PA",
    port_forward=False,
    geo=True,
    offline=True,
    servers=(WireGuardServer("panama401", ipaddress.IPv4Address("198.18.15.1")),),
    auto_region=False,
)


def signed(line: bytes) -> bytes:
    signature = base64.b64encode(KEY.sign(line, padding.PKCS1v15(), hashes.SHA256()))
    rows = [signature[start : start + 60] for start in range(0, len(signature), 60)]
    return line + b"\n\n" + b"\n".join(rows)


def parse(document: object) -> ServerList:
    return serverlist.parse(signed(json.dumps(document).encode()), PUBLIC_KEY)


def with_region(**fields: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["regions"].append(fields)
    return document


def test_a_signed_list_is_read() -> None:
    assert parse(DOCUMENT) == ServerList(regions=(SWISS, PANAMA), port=1339)


def test_pias_own_list_is_read_and_refused_with_one_bit_changed() -> None:
    if FIXTURE not in os.environ:
        pytest.skip(f"{FIXTURE} names no file with a list as PIA serves it")
    raw = bytearray(Path(os.environ[FIXTURE]).read_bytes())
    found = serverlist.parse(bytes(raw), None)

    assert found.port == 1337
    assert len(found.regions) == 189
    assert sum(region.geo for region in found.regions) == 78
    assert sum(not region.port_forward for region in found.regions) == 55
    assert [region.id for region in found.regions if not region.auto_region] == [
        "nl_netherlands-so"
    ]
    addresses = [server.address for region in found.regions for server in region.servers]
    assert (len(addresses), len(set(addresses))) == (435, 368)
    assert {len(region.servers) for region in found.regions} == {1, 2, 3}

    raw[1000] ^= 1
    with pytest.raises(errors.BadSignature):
        serverlist.parse(bytes(raw), None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"{}",
        json.dumps(DOCUMENT).encode(),
        json.dumps(DOCUMENT).encode() + b"\n\nnot base64",
        json.dumps(DOCUMENT).encode() + b"\n\nAAAA",
        signed(json.dumps(DOCUMENT).encode())[:-60],
        signed(json.dumps(DOCUMENT).encode()).replace(b"swiss", b"swisz", 1),
        signed(json.dumps(DOCUMENT).encode()) + b"AAAA",
        b"<html>\n</html>",
    ],
)
def test_a_list_with_a_bad_signature_is_refused(raw: bytes) -> None:
    with pytest.raises(errors.BadSignature, match="the last good list stays in use"):
        serverlist.parse(raw, PUBLIC_KEY)


def test_a_list_signed_with_another_key_than_pias_is_refused() -> None:
    with pytest.raises(errors.BadSignature):
        serverlist.parse(signed(json.dumps(DOCUMENT).encode()), None)


@pytest.mark.parametrize(
    "key",
    [
        "no PEM",
        "ü",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
)
def test_a_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(errors.InvalidEndpoint, match=r"spec\.endpoints\.serverListPublicKey"):
        serverlist.parse(signed(b"{}"), key)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not JSON",
        b"[" * 100_000,
        b'{"regions": 1}',
        b'{"regions": [1, null, {}, {"id": 1}, {"id": "swiss"}]}',
        b'{"regions": [{"id": "swiss", "servers": {"wg": [{"ip": "::1", "cn": "a"}]}}]}',
        b'{"regions": "\xff"}',
    ],
)
def test_a_signed_list_without_a_server_is_a_bad_response(line: bytes) -> None:
    with pytest.raises(errors.BadResponse):
        serverlist.parse(signed(line), PUBLIC_KEY)


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"id": None},
        {"id": "no spaces"},
        {"id": "x" * 64},
        {"id": ["swiss"]},
        {"id": "swiss", "name": "a second one of this id"},
    ],
)
def test_a_region_that_makes_no_sense_is_left_out(region: dict[str, Any]) -> None:
    assert parse(with_region(**region)).regions == (SWISS, PANAMA)


@pytest.mark.parametrize(
    "servers",
    [
        None,
        [],
        {},
        {"wg": None},
        {"wg": {}},
        {"wg": []},
        {"wg": [None, 1, {}, {"ip": "198.18.0.1"}, {"cn": "a"}, {"ip": 1, "cn": "a"}]},
        {"wg": [{"ip": "198.18.0.1", "cn": name} for name in ("", ".a", "a..b", "a b", "x" * 64)]},
        {"wg": [{"ip": "198.18.0.1\n", "cn": "a"}, {"ip": "198.18.0.1", "cn": "a\n"}]},
    ],
)
def test_a_region_without_wireguard_servers_stays_known(servers: object) -> None:
    bare = Region(
        id="bare",
        name="bare",
        country="",
        port_forward=False,
        geo=False,
        offline=False,
        servers=(),
    )

    assert parse(with_region(id="bare", servers=servers)).regions == (SWISS, PANAMA, bare)


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        {},
        {"wg": []},
        {"wg": [{}]},
        {"wg": [{"ports": []}]},
        {"wg": [{"ports": ["1339"]}]},
        {"wg": [{"ports": [0]}]},
        {"wg": [{"ports": [True]}]},
        {"wg": [{"ports": [65536]}]},
    ],
)
def test_without_a_port_the_usual_one_is_taken(groups: object) -> None:
    assert parse(DOCUMENT | {"groups": groups}).port == 1337


def test_a_list_damaged_anywhere_raises_nothing_but_our_errors() -> None:
    chance = random.Random(20261123)
    raw = signed(json.dumps(DOCUMENT).encode())
    for _ in range(500):
        damaged = bytearray(raw)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        del damaged[chance.randint(0, 2 * len(damaged)) :]
        try:
            assert serverlist.parse(bytes(damaged), PUBLIC_KEY).regions == (SWISS, PANAMA)
        except errors.PiaError:
            continue


def test_a_signed_list_with_any_part_replaced_raises_nothing_but_our_errors() -> None:
    chance = random.Random(20261124)
    junk: list[Any] = [None, True, -1, 1e308, "", "\x00", "ü" * 300, [], {}, [[]], [{}], {"": 0}]
    for _ in range(500):
        document = copy.deepcopy(DOCUMENT)
        for _ in range(chance.randint(1, 5)):
            *way, last = chance.choice(list(_places(document)))
            functools.reduce(lambda node, key: node[key], way, document)[last] = chance.choice(junk)
        try:
            found = parse(document)
        except errors.BadResponse:
            continue
        assert any(region.servers for region in found.regions)


def _places(node: Any, way: tuple[Any, ...] = ()) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*way, key))


def test_a_list_is_fetched_as_served(tmp_path: Path) -> None:
    authority = pia_server.Authority("A public CA")
    local = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
    leaf = authority.issue(tmp_path, "serverlist", names=(local,))
    raw = signed(json.dumps(DOCUMENT).encode())
    with pia_server.serving(leaf, Reply(200, raw)) as front:
        url = f"https://{pia_server.HOST}:{front.port}/vpninfo/servers/v6?x=1"

        assert serverlist.fetch(url, ca_bundle=authority.pem) == raw

    (call,) = front.calls
    assert (call.method, call.target) == ("GET", "/vpninfo/servers/v6?x=1")


@pytest.mark.parametrize("reply", [Reply(404, "none"), Reply(200, "<html>"), Reply(503)])
def test_a_list_that_is_not_served_is_unreachable(tmp_path: Path, reply: Reply) -> None:
    authority = pia_server.Authority("A public CA")
    local = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
    leaf = authority.issue(tmp_path, "serverlist", names=(local,))
    with pia_server.serving(leaf, reply) as front, pytest.raises(errors.Unreachable):
        serverlist.fetch(f"https://{pia_server.HOST}:{front.port}/", ca_bundle=authority.pem)
