"""What the kernel's tables under /proc/net say. Pure: text in, plain values out.

Formats: Linux `net/ipv4/fib_trie.c` (`fib_route_seq_show`) and `net/ipv6/route.c`
(`rt6_info_route`), numbers in hexadecimal.
"""

from __future__ import annotations

import socket
import struct

_REJECT = 0x0200
"""RTF_REJECT: an unreachable, blackhole or prohibit route; nothing leaves by it."""

_IPV6_DEFAULT = ("0" * 32, "00")


def ipv4_default_routes(route_table: str) -> list[tuple[str, str]]:
    """Return (link, next hop) of each IPv4 default route in the text of /proc/net/route.

    A route without next hop has "0.0.0.0".
    """
    rows = [line.split() for line in route_table.splitlines()[1:]]
    return [
        (link, _address(gateway))
        for link, destination, gateway, flags, _, _, _, mask, *_ in rows
        if int(destination, 16) == int(mask, 16) == 0 and not int(flags, 16) & _REJECT
    ]


def ipv6_default_links(route_table: str) -> list[str]:
    """Return the link of each IPv6 default route in the text of /proc/net/ipv6_route."""
    rows = [line.split() for line in route_table.splitlines()]
    return [
        link
        for destination, length, _, _, _, _, _, _, flags, link in rows
        if (destination, length) == _IPV6_DEFAULT and not int(flags, 16) & _REJECT
    ]


def _address(number: str) -> str:
    # The kernel prints the address's four bytes as one number in the machine's own byte order.
    return socket.inet_ntoa(struct.pack("=I", int(number, 16)))
