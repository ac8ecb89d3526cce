"""Captured packets without what they carry: headers alone. Pure.

The format is libpcap's: a head of 24 bytes, then each packet behind a head of 16.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_FILE_HEAD, _PACKET_HEAD = 24, 16
_MAGIC = b"\xd4\xc3\xb2\xa1"
"""Of a file in little-endian order, with microseconds."""
_ETHERNET, _RAW = 1, (12, 14, 101)
"""Link types: with an Ethernet header; IP alone, as WireGuard links have it."""
_ETHERNET_HEAD, _VLAN_HEAD = 14, 4
_IPV4, _VLAN, _VERSION_4 = 0x0800, 0x8100, 4
_TCP, _UDP, _ICMP = 6, 17, 1
_ICMP_HEAD, _UDP_HEAD, _SHORTEST_TCP, _SHORTEST_IP = 8, 8, 20, 20
_UNKNOWN = 42
"""Bytes that are kept of all else: an ARP packet's."""


class NoCaptureError(ValueError):
    """These bytes are no capture that is known here."""


def headers_only(capture: bytes) -> bytes:
    """Return the capture with each packet cut where its payload begins; lengths stay as told.

    A packet at the end that is not there whole is left out.

    Raises:
        NoCaptureError: it is no capture.
    """
    if len(capture) < _FILE_HEAD or not capture.startswith(_MAGIC):
        raise NoCaptureError(f"no capture: {capture[:40]!r}")
    (link_type,) = struct.unpack_from("<I", capture, 20)
    parts = [capture[:_FILE_HEAD]]
    for moment, packet, length in _packets(capture):
        kept = packet[: _length_of_headers(packet, link_type)]
        parts.append(moment + struct.pack("<II", len(kept), length) + kept)
    return b"".join(parts)


def count(capture: bytes) -> int:
    """Return how many packets a capture has."""
    return sum(1 for _ in _packets(capture))


def _packets(capture: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield each packet's time as it stands there, its bytes, and how long it was on the wire."""
    at = _FILE_HEAD
    while at + _PACKET_HEAD <= len(capture):
        captured, length = struct.unpack_from("<II", capture, at + 8)
        begin, end = at + _PACKET_HEAD, at + _PACKET_HEAD + captured
        if end > len(capture):
            return
        yield capture[at : at + 8], capture[begin:end], length
        at = end


def _length_of_headers(packet: bytes, link_type: int) -> int:
    if link_type in _RAW:
        return _of_ip(packet, 0)
    begin = _ETHERNET_HEAD
    if link_type != _ETHERNET or len(packet) < begin + _VLAN_HEAD:
        return 0
    (kind,) = struct.unpack_from(">H", packet, begin - 2)
    if kind == _VLAN:
        begin += _VLAN_HEAD
        (kind,) = struct.unpack_from(">H", packet, begin - 2)
    return _of_ip(packet, begin) if kind == _IPV4 else min(len(packet), _UNKNOWN)


def _of_ip(packet: bytes, begin: int) -> int:
    """Return where the payload begins of what an IPv4 packet at `begin` carries."""
    if len(packet) < begin + _SHORTEST_IP or packet[begin] >> 4 != _VERSION_4:
        return min(len(packet), begin + _SHORTEST_IP)
    inner = begin + (packet[begin] & 15) * 4
    (fragment,) = struct.unpack_from(">H", packet, begin + 6)
    if fragment & 0x1FFF:
        return inner
    protocol = packet[begin + 9]
    if protocol == _TCP and len(packet) >= inner + _SHORTEST_TCP:
        return inner + (packet[inner + 12] >> 4) * 4
    if protocol == _UDP:
        return inner + _UDP_HEAD
    return inner + _ICMP_HEAD if protocol == _ICMP else inner
