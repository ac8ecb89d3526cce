"""Packets as bytes: which of them a tap is to see, whither they go, and raw ones to send. Pure.

Formats: RFC 791, RFC 826, RFC 4861, RFC 8200; the filter is classic BPF (linux/filter.h).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
"""Ethernet's numbers of the protocols."""

_IPV4_TARGET, _ARP_TARGET = 16, 24
"""Where a packet names whom it is for, or asks for, counted from the network header."""
_UDP, _TCP, _ICMPV6, _NO_NEXT_HEADER = 17, 6, 58, 59
_NEIGHBOUR_SOLICITATION = 135
_ARP_REQUEST = 1
_DISCARD = 9

# linux/bpf_common.h and linux/filter.h.
_LOAD_WORD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_FRAMES_PROTOCOL, _FRAMES_KIND, _FRAMES_MARK = 0xFFFFF000, 0xFFFFF004, 0xFFFFF014
_OUTGOING, _WHOLE = 4, 0xFFFF

_Line = tuple[int, int, int, int]
"""Code, lines to skip where true, lines to skip where false, operand."""


def tap_filter(
    outside: ipaddress.IPv4Network, others: Iterable[ipaddress.IPv4Address], replies: int
) -> list[bytes]:
    """Return the lines of the filter of a packet socket that begins at the network header.

    It passes what leaves, and of that: IPv4 and ARP to `outside`, IPv4 to `others`, all IPv6; but
    nothing with the mark `replies`, since anybody can send what looks as if it came from `outside`.
    It runs in the kernel: a busy app's packets would crowd out the few that are looked for.
    """
    lines = [
        (_LOAD_WORD, 0, 0, _FRAMES_KIND),
        (_IF_EQUAL, 1, 0, _OUTGOING),
        (_RETURN, 0, 0, 0),
        (_LOAD_WORD, 0, 0, _FRAMES_MARK),
        (_AND, 0, 0, replies),
        (_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, 0),
        *_of(IPV6, [(_RETURN, 0, 0, _WHOLE)]),
        *_of(ARP, _to(_ARP_TARGET, outside)),
        *_of(IPV4, _to(_IPV4_TARGET, outside)),
        *(line for one in others for line in _of(IPV4, _to(_IPV4_TARGET, _alone(one)))),
        (_RETURN, 0, 0, 0),
    ]
    return [struct.pack("=HBBI", *line) for line in lines]


def read(
    protocol: int, packet: bytes
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int | None] | None:
    """Return whom a packet is for, and its port; None where it is none that a tap passes.

    The port is None where the target is only asked for, and 0 where the protocol has none.
    """
    try:
        if protocol == IPV4:
            return ipaddress.IPv4Address(packet[16:20]), _port(
                packet[9], packet, packet[0] % 16 * 4
            )
        if protocol == ARP:
            asks = packet[7] == _ARP_REQUEST
            return (ipaddress.IPv4Address(packet[24:28]), None) if asks else None
        if protocol == IPV6:
            if packet[6] == _ICMPV6 and packet[40] == _NEIGHBOUR_SOLICITATION:
                return ipaddress.IPv6Address(packet[48:64]), None
            return ipaddress.IPv6Address(packet[24:40]), _port(packet[6], packet, 40)
    except (IndexError, ValueError):
        return None
    return None


def outgoing(
    source: ipaddress.IPv4Address, ipv4: ipaddress.IPv4Network, ipv6: ipaddress.IPv6Network
) -> tuple[tuple[int, bytes], ...]:
    """Return packets to these networks, each with its protocol, to be sent past all filters."""
    return (IPV4, _ipv4_datagram(source, ipv4[1])), (IPV6, _ipv6_packet(ipv6[2], ipv6[1]))


def _ipv4_datagram(source: ipaddress.IPv4Address, target: ipaddress.IPv4Address) -> bytes:
    """Return an empty UDP datagram; over IPv4 it needs no checksum of its own."""
    addresses = source.packed + target.packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, _UDP, 0) + addresses
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return header + struct.pack("!HHHH", _DISCARD, _DISCARD, 8, 0)


def _ipv6_packet(source: ipaddress.IPv6Address, target: ipaddress.IPv6Address) -> bytes:
    return struct.pack("!IHBB", 6 << 28, 0, _NO_NEXT_HEADER, 64) + source.packed + target.packed


def _of(protocol: int, lines: list[_Line]) -> list[_Line]:
    return [(_LOAD_WORD, 0, 0, _FRAMES_PROTOCOL), (_IF_EQUAL, 0, len(lines), protocol), *lines]


def _to(place: int, network: ipaddress.IPv4Network) -> list[_Line]:
    return [
        (_LOAD_WORD, 0, 0, place),
        (_AND, 0, 0, int(network.netmask)),
        (_IF_EQUAL, 0, 1, int(network.network_address)),
        (_RETURN, 0, 0, _WHOLE),
    ]


def _alone(address: ipaddress.IPv4Address) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(address)


def _port(protocol: int, packet: bytes, at: int) -> int:
    if protocol not in (_UDP, _TCP):
        return 0
    return int.from_bytes(packet[at + 2 : at + 4], "big")


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
