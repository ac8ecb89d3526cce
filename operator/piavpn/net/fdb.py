"""Forwarding entries of bridges and VXLAN links, in the calling thread's namespace.

A frame to a MAC address passes two tables: the bridge's, which says by which port, and that of the
VXLAN link, which says to which node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pyroute2 import NetlinkError
from pyroute2.netlink.rtnl import ndmsg

EVERYBODY = "00:00:00:00:00:00"
"""How a VXLAN link's table calls those to whom a frame goes that no other entry is for."""

_STATIC = ndmsg.states["noarp"]
_PERMANENT = ndmsg.states["noarp"] | ndmsg.states["permanent"]
_SELF, _MASTER = ndmsg.flags["self"], ndmsg.flags["master"]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a VXLAN link: frames to `mac` go to `node`."""

    mac: str
    node: ipaddress.IPv4Address | ipaddress.IPv6Address


def dump(kernel: Any) -> list[Any]:  # noqa: ANN401 - pyroute2 has no types
    """Return all tables of the namespace, for `static` and `entries` to read.

    Raises:
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    return list(kernel.fdb("dump"))


def static(table: Iterable[Any]) -> dict[int, set[str]]:
    """Return by link the MAC addresses that bridges send to by it because somebody said so."""
    found: dict[int, set[str]] = {}
    for item in table:
        if item.get_attr("NDA_MASTER") and item["state"] == _STATIC:
            found.setdefault(item["ifindex"], set()).add(item.get_attr("NDA_LLADDR"))
    return found


def entries(table: Iterable[Any], links: Collection[int]) -> dict[int, set[Entry]]:
    """Return by link what these VXLAN links know; those of others may know anything."""
    found: dict[int, set[Entry]] = {}
    for item in table:
        if item["ifindex"] in links and (node := item.get_attr("NDA_DST")):
            entry = Entry(item.get_attr("NDA_LLADDR"), ipaddress.ip_address(node))
            found.setdefault(item["ifindex"], set()).add(entry)
    return found


def set_static(kernel: Any, index: int, mac: str) -> None:  # noqa: ANN401
    """Have the link's bridge send by it what is for the MAC address, wherever that was before.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    kernel.fdb("replace", ifindex=index, lladdr=mac, state=_STATIC, flags=_MASTER)


def unset_static(kernel: Any, index: int, mac: str) -> None:  # noqa: ANN401
    """Undo `set_static`; what was undone already is fine.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with _gone_is_fine():
        kernel.fdb("del", ifindex=index, lladdr=mac, state=_STATIC, flags=_MASTER)


def set_entry(kernel: Any, index: int, entry: Entry) -> None:  # noqa: ANN401
    """Add the entry; one for the same MAC address is replaced, but for EVERYBODY's.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    command = "append" if entry.mac == EVERYBODY else "replace"
    _change(kernel, command, index, entry)


def unset_entry(kernel: Any, index: int, entry: Entry) -> None:  # noqa: ANN401
    """Remove the entry; one that is gone already is fine.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with _gone_is_fine():
        _change(kernel, "del", index, entry)


def _change(kernel: Any, command: str, index: int, entry: Entry) -> None:  # noqa: ANN401
    to = {"lladdr": entry.mac, "dst": str(entry.node)}
    kernel.fdb(command, ifindex=index, state=_PERMANENT, flags=_SELF, **to)


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.ENOENT:
            raise
