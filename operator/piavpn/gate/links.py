"""Links and their addresses, asked of the kernel without any capability (netdevice(7))."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCGIFADDR = 0x8915
_IFF_UP = 0x1
_REQUEST = "16s24x"
"""`struct ifreq`: the link's name, then a union that the kernel fills."""


def address(link: str) -> str | None:
    """Return the link's first IPv4 address; None where link or address is absent."""
    answer = _ask(_SIOCGIFADDR, link)
    return socket.inet_ntoa(answer[20:24]) if answer else None


def up() -> list[str]:
    """Return the links that are up, but for the loopback."""
    return [name for _, name in socket.if_nameindex() if name != "lo" and _is_up(name)]


def _is_up(link: str) -> bool:
    answer = _ask(_SIOCGIFFLAGS, link)
    return answer is not None and bool(struct.unpack_from("=H", answer, 16)[0] & _IFF_UP)


def _ask(request: int, link: str) -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            return fcntl.ioctl(asker, request, struct.pack(_REQUEST, link.encode()))
        except OSError:
            return None
