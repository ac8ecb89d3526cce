"""Ping the server through the tunnel (RFC 792), on a socket that can use no other link."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterator, Mapping

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")
_NUMBERS = struct.Struct("!HH")
_PAYLOAD = b"piavpn"
_LONGEST_PACKET = 2048


def ping(link: str, address: ipaddress.IPv4Address, *, timeout: float) -> bool:
    """Tell whether `address` answers an echo request sent out of `link` within `timeout` seconds.

    Needs CAP_NET_RAW. A link that is gone or down answers nothing.
    """
    return bool(ping_each({link: address}, timeout=timeout))


def ping_each(targets: Mapping[str, ipaddress.IPv4Address], *, timeout: float) -> frozenset[str]:
    """Return the links by which their addresses answered, all of them within the same `timeout`."""
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for link, address in targets.items():
            with contextlib.suppress(OSError):
                pinger = stack.enter_context(_pinger(link))
                expected = (str(address), *_NUMBERS.unpack(os.urandom(4)))
                pinger.sendto(echo_request(*expected[1:]), (expected[0], 0))
                waiting.register(pinger, selectors.EVENT_READ, (link, expected))
        return frozenset(_answers(waiting, deadline))


def _pinger(link: str) -> socket.socket:
    pinger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        pinger.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        pinger.setblocking(False)  # noqa: FBT003 - the name says it
    except OSError:
        pinger.close()
        raise
    return pinger


def _answers(waiting: selectors.BaseSelector, deadline: float) -> Iterator[str]:
    while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            link, (address, identifier, sequence) = key.data
            assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - what was registered
            try:
                packet, (source, _) = key.fileobj.recvfrom(_LONGEST_PACKET)
            except BlockingIOError:
                continue
            except OSError:
                waiting.unregister(key.fileobj)
                continue
            if source == address and is_reply(packet, identifier, sequence):
                waiting.unregister(key.fileobj)
                yield link


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
