from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from piavpn.net import wg

PEER = wg.Peer(
    public_key="SERVERKEY=",
    address=IPv4Address("198.51.100.4"),
    port=1337,
    allowed_ips=(IPv4Network("0.0.0.0/0"),),
    keepalive=25,
)


def test_the_configuration_is_that_of_wg() -> None:
    assert wg.config("SECRET=", [PEER]) == (
        "[Interface]\n"
        "PrivateKey = SECRET=\n"
        "[Peer]\n"
        "PublicKey = SERVERKEY=\n"
        "Endpoint = 198.51.100.4:1337\n"
        "AllowedIPs = 0.0.0.0/0\n"
        "PersistentKeepalive = 25\n"
    )


def test_a_link_of_several_peers_listens_at_a_port_of_its_own() -> None:
    one = wg.Peer("ONE=", IPv4Address("192.0.2.1"), 14790, (IPv6Network("fd00::1/128"),), 0)
    two = wg.Peer("TWO=", IPv4Address("192.0.2.2"), 14790, (IPv6Network("fd00::2/128"),), 0)
    assert wg.config("SECRET=", [one, two], port=14790) == (
        "[Interface]\n"
        "PrivateKey = SECRET=\n"
        "ListenPort = 14790\n"
        "[Peer]\n"
        "PublicKey = ONE=\n"
        "Endpoint = 192.0.2.1:14790\n"
        "AllowedIPs = fd00::1/128\n"
        "PersistentKeepalive = off\n"
        "[Peer]\n"
        "PublicKey = TWO=\n"
        "Endpoint = 192.0.2.2:14790\n"
        "AllowedIPs = fd00::2/128\n"
        "PersistentKeepalive = off\n"
    )


def test_a_dump_with_several_peers_is_read() -> None:
    dump = (
        "SECRET=\tOWNKEY=\t14790\toff\n"
        "ONE=\t(none)\t192.0.2.1:14790\tfd00::1/128\t0\t0\t0\toff\n"
        "TWO=\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
    )
    assert wg.parse_membership(dump) == wg.Membership(
        public_key="OWNKEY=",
        port=14790,
        peers={"ONE=": frozenset({"fd00::1/128"}), "TWO=": frozenset()},
    )


def test_a_dump_with_a_peer_is_read() -> None:
    dump = (
        "SECRET=\tOWNKEY=\t51820\toff\n"
        "SERVERKEY=\t(none)\t198.51.100.4:1337\t0.0.0.0/0\t1700000000\t1234\t5678\t25\n"
    )
    assert wg.parse_dump(dump) == wg.Device(
        public_key="OWNKEY=",
        peer_public_key="SERVERKEY=",
        latest_handshake=datetime.fromtimestamp(1700000000, UTC),
        received=1234,
    )


def test_a_link_that_was_never_configured_has_neither_key_nor_peer() -> None:
    assert wg.parse_dump("(none)\t(none)\t0\toff\n") == wg.Device(public_key=None)


def test_a_peer_that_never_answered_has_no_handshake() -> None:
    dump = "S=\tO=\t51820\toff\nP=\t(none)\t(none)\t0.0.0.0/0\t0\t0\t148\toff\n"
    assert wg.parse_dump(dump) == wg.Device(public_key="O=", peer_public_key="P=")


@pytest.mark.parametrize("dump", ["", "nonsense", "a\tb\tc\td\nshort\tline\n"])
def test_an_unknown_dump_is_refused(dump: str) -> None:
    with pytest.raises(wg.WgError):
        wg.parse_dump(dump)
    with pytest.raises(wg.WgError):
        wg.parse_membership(dump)


def test_a_key_pair_does_not_print_its_private_key() -> None:
    assert "SECRET" not in repr(wg.KeyPair(private="SECRET=", public="P="))
