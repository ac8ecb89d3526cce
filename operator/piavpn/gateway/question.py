"""One question to a resolver and its answer, as bytes (RFC 1035). Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import struct

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
"""Type, class, time to live and length of a record."""
_RESPONSE, _RECURSION_DESIRED, _CODE = 0x8000, 0x0100, 0x000F
_SERVER_FAILURE = 2
_A, _IN = 1, 1
_POINTER = 0xC0
_POINTER_BYTES = 2
_QUESTION_BYTES = 4


class GarbledError(Exception):
    """The bytes are no answer to the question."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver says."""

    addresses: tuple[ipaddress.IPv4Address, ...]
    failed: bool
    """Whether it says that it could not find out."""


def encode(name: str, identifier: int) -> bytes:
    """Return the question for the name's IPv4 addresses; the identifier has 16 bits.

    Raises:
        UnicodeError: it is no name of the DNS.
    """
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    header = _HEADER.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + encoded + struct.pack("!HH", _A, _IN)


def decode(message: bytes, identifier: int) -> Answer:
    """Read an answer.

    Raises:
        GarbledError: it is none, or none to the question of that identifier.
    """
    try:
        found, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
        if found != identifier or not flags & _RESPONSE:
            raise GarbledError("another message")
        offset = _HEADER.size
        for _ in range(questions):
            offset = _after_name(message, offset) + _QUESTION_BYTES
        addresses = []
        for _ in range(answers):
            offset = _after_name(message, offset)
            kind, _, _, length = _FIXED.unpack_from(message, offset)
            offset += _FIXED.size + length
            if kind == _A:
                addresses.append(ipaddress.IPv4Address(message[offset - length : offset]))
    except (struct.error, IndexError, ValueError) as error:
        raise GarbledError("cut off") from error
    return Answer(tuple(addresses), flags & _CODE == _SERVER_FAILURE)


def _after_name(message: bytes, offset: int) -> int:
    while length := message[offset]:
        if length & _POINTER == _POINTER:
            return offset + _POINTER_BYTES
        offset += 1 + length
    return offset + 1
