"""Datagrams that prove the lock, and the question that proves the gateway.

Probes aim at documentation addresses (RFC 5737, RFC 3849): were one to leave, it would tell nobody
anything. A datagram that netfilter drops on its way out fails with EPERM at once; a TCP connection
would only time out, which proves nothing.
"""

from __future__ import annotations

import errno
import os
import socket

OUTSIDE_IPV4 = ("192.0.2.1", 9)
OUTSIDE_IPV6 = ("2001:db8::1", 9)

_REFUSED_IPV4 = frozenset({errno.EPERM})
_REFUSED_IPV6 = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)
"""Refused by the lock, no route, no address, or no IPv6 at all: nothing went out."""

_DNS_PORT = 53
_DNS_TIMEOUT = 0.5
_QUESTION = (
    b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # recursion desired, one question
    b"\x07gateway\x06piavpn\x07invalid\x00\x00\x01\x00\x01"  # type A, class IN
)
"""A query without its identifier. `.invalid` names nothing (RFC 6761): no resolver asks further."""


def ipv4_leak(link: str) -> str | None:
    """Send a datagram out of this link; return what happened unless the lock refused it."""
    return _leak(socket.AF_INET, OUTSIDE_IPV4, link, _REFUSED_IPV4)


def ipv6_leak(link: str | None) -> str | None:
    """Send one by IPv6, out of this link or by the routes; return what happened unless refused."""
    return _leak(socket.AF_INET6, OUTSIDE_IPV6, link, _REFUSED_IPV6)


def resolver_answers(address: str) -> bool:
    """Tell whether anything answers DNS at this address; the answer itself does not matter."""
    identifier = os.urandom(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(_DNS_TIMEOUT)
        try:
            asker.connect((address, _DNS_PORT))
            asker.send(identifier + _QUESTION)
            return asker.recv(512).startswith(identifier)
        except OSError:
            return False


def _leak(
    family: socket.AddressFamily,
    destination: tuple[str, int],
    link: str | None,
    refusals: frozenset[int],
) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            if link is not None:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
            sender.sendto(b"", destination)
    except OSError as error:
        return None if error.errno in refusals else os.strerror(error.errno or 0)
    return "a datagram left"
