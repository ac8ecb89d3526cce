from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from piavpn.node import frames

IPV4_UDP = bytes.fromhex(
    "4500001c 00000000 4011 add7 0af40005 c0000201"  # 10.244.0.5 to 192.0.2.1
    "0009 0009 0008 0000"
)
IPV4_WITH_OPTIONS = bytes.fromhex(
    "46000020 00000000 4006 0000 0af40005 c0000204 01010101" + "0050 01bb 0000 0000"
)
ARP_REQUEST = bytes.fromhex("0001 0800 06 04 0001 020000000001 0af40005 000000000000 c0000203")
ARP_REPLY = bytes.fromhex("0001 0800 06 04 0002 020000000001 0af40005 020000000002 c0000203")
IPV6_UDP = bytes.fromhex(
    "60000000 0008 11 40"
    "20010db8000000000000000000000005 20010db8000000000000000000000001"
    "0009 0035 0008 0000"
)
NEIGHBOUR_SOLICITATION = bytes.fromhex(
    "60000000 0018 3a ff"
    "fe800000000000000000000000000005 ff0200000000000000000001ff000001"
    "87 00 0000 00000000 20010db8000000000000000000000001"
)


@pytest.mark.parametrize(
    ("protocol", "packet", "whither"),
    [
        (frames.IPV4, IPV4_UDP, (IPv4Address("192.0.2.1"), 9)),
        (frames.IPV4, IPV4_WITH_OPTIONS, (IPv4Address("192.0.2.4"), 443)),
        (frames.ARP, ARP_REQUEST, (IPv4Address("192.0.2.3"), None)),
        (frames.ARP, ARP_REPLY, None),
        (frames.IPV6, IPV6_UDP, (IPv6Address("2001:db8::1"), 53)),
        (frames.IPV6, NEIGHBOUR_SOLICITATION, (IPv6Address("2001:db8::1"), None)),
        (frames.IPV4, b"", None),
        (frames.IPV4, IPV4_UDP[:18], None),
        (0x8100, IPV4_UDP, None),
    ],
)
def test_a_packet_says_whom_it_is_for(
    protocol: int, packet: bytes, whither: tuple[IPv4Address | IPv6Address, int | None] | None
) -> None:
    assert frames.read(protocol, packet) == whither


def test_raw_packets_are_valid_ones() -> None:
    ipv4, ipv6 = IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/32")
    datagram, packet = frames.outgoing(IPv4Address("10.244.0.5"), ipv4, ipv6)
    assert datagram == (frames.IPV4, IPV4_UDP)
    assert frames.read(*packet) == (IPv6Address("2001:db8::1"), 0)
