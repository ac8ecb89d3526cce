"""All links of the calling thread's namespace, with the little that is asked of many at once.

A node has as many links as pods, and is asked for all of them whenever one comes: pyroute2 takes
some ten times as long for it, since it takes each of a link's hundred attributes apart. Message
formats: rtnetlink(7), netlink(7).
"""

from __future__ import annotations

import dataclasses
import os
import socket
import struct
import sys
from collections.abc import Iterator

_GET_LINK = 18
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10
_ERROR, _DONE = 2, 3
_ADDRESS, _NAME, _MASTER, _LINK_INFO, _ALIAS, _EXT_MASK = 1, 3, 10, 18, 20, 29
_KIND = 1
_SKIP_STATISTICS = 8
_HEADER, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_TYPE = 0x3FFF
"""Of an attribute's type: the rest are flags."""
_MOST_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """One link."""

    index: int
    name: str
    alias: str
    kind: str
    """Such as `veth`; empty of a device."""
    master: int
    """Index of the bridge whose port it is; 0: none's."""
    mac: str


def dump() -> list[Link]:
    """Return all links.

    Raises:
        OSError: the kernel refused to tell.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        while True:
            found = _dump(kernel)
            if found is not None:
                return found


def _dump(kernel: socket.socket) -> list[Link] | None:
    """Return all links; None where they changed meanwhile, so that one may be missing."""
    mask = struct.pack("=HHI", 8, _EXT_MASK, _SKIP_STATISTICS)
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + mask
    length = _HEADER.size + len(body)
    kernel.send(_HEADER.pack(length, _GET_LINK, _REQUEST | _DUMP, 1, 0) + body)
    found: list[Link] = []
    whole = True
    while True:
        answer = kernel.recv(_MOST_BYTES)
        at = 0
        while at < len(answer):
            length, kind, flags, _, _ = _HEADER.unpack_from(answer, at)
            whole = whole and not flags & _INTERRUPTED
            message = answer[at + _HEADER.size : at + length]
            if kind == _DONE:
                return found if whole else None
            if kind == _ERROR:
                number = -int(struct.unpack_from("=i", message)[0])
                raise OSError(number, f"links cannot be listed: {os.strerror(number)}")
            found.append(_read(message))
            at += _aligned(length)


def _read(message: bytes) -> Link:
    index = _LINK.unpack_from(message)[2]
    known = dict(_attributes(message[_LINK.size :]))
    described = dict(_attributes(known.get(_LINK_INFO, b"")))
    return Link(
        index=index,
        name=_text(known[_NAME]),
        alias=_text(known.get(_ALIAS, b"")),
        kind=_text(described.get(_KIND, b"")),
        master=int.from_bytes(known.get(_MASTER, b""), sys.byteorder),
        mac=known.get(_ADDRESS, b"").hex(":"),
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
