"""Ping the server through the tunnel (RFC 792), on a socket that can use no other link."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")
_NUMBERS = struct.Struct("!HH")
_PAYLOAD = b"piavpn"
_LONGEST_PACKET = 2048


def ping(link: str, address: ipaddress.IPv4Address, *, timeout: float) -> bool:
    """Tell whether `address` answers an echo request sent out of `link` within `timeout` seconds.

    Needs CAP_NET_RAW. A link that is gone or down answers nothing.
    """
    identifier, sequence = _NUMBERS.unpack(os.urandom(4))
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pinger:
            pinger.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
            pinger.sendto(echo_request(identifier, sequence), (str(address), 0))
            while (left := deadline - time.monotonic()) > 0:
                pinger.settimeout(left)
                packet, (source, _) = pinger.recvfrom(_LONGEST_PACKET)
                if source == str(address) and is_reply(packet, identifier, sequence):
                    return True
    except OSError:  # the time-out is one, too
        pass
    return False


def echo_request(identifier: int, sequence: int) -> bytes:
    """Return an ICMP echo request; both numbers have 16 bits."""
    blank = _HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence)
    header = _HEADER.pack(_ECHO_REQUEST, 0, checksum(blank + _PAYLOAD), identifier, sequence)
    return header + _PAYLOAD


def is_reply(packet: bytes, identifier: int, sequence: int) -> bool:
    """Tell whether an IPv4 packet, header included, answers that request."""
    message = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
    if len(message) < _HEADER.size:
        return False
    kind, _, _, *numbers = _HEADER.unpack_from(message)
    return kind == _ECHO_REPLY and numbers == [identifier, sequence]


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
