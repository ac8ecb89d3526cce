"""The node's ends of confined pods' links, in the calling thread's namespace.

A link's alias says what it is, so that the filter follows from what the kernel holds.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from piavpn.net import linklist, netns, nft
from piavpn.node import canonical, outlet
from piavpn.node.model import NodeEnd

_LOOPBACK = 0x8
"""IFF_LOOPBACK."""


class Outlets:
    """Keeps the filter on the node's ends of service pods' links to the cluster."""

    def __init__(self, known: canonical.Canonical) -> None:
        self._canonical = known
        self._inside = outlet.Inside((), ())

    def know(self, inside: outlet.Inside) -> None:
        """Take what is inside the cluster; what is not known yet changes nothing."""
        if inside.cluster:
            self._inside = inside

    def assign(self, end: NodeEnd, link_alias: str) -> None:
        """Say whose the link is, and filter it.

        Raises:
            NftError: nft refused.
            pyroute2.NetlinkError: the kernel refused.
        """
        with IPRoute() as kernel:
            kernel.link("set", index=end.index, IFLA_IFALIAS=link_alias)
        # What was there lacks this link: that need not be asked.
        self._while_pods_end(self._load)

    def ensure(self) -> None:
        """Make the filter fit the links that are there; without any there is none.

        Raises:
            NftError: nft refused.
            pyroute2.NetlinkError: the kernel refused to tell.
        """
        self._while_pods_end(self._fit)

    @staticmethod
    def _while_pods_end(bring: Callable[[list[outlet.Outlet]], None]) -> None:
        found = _present()
        while True:
            try:
                bring(found)
            except nft.NftError:
                # A pod may have ended meanwhile: nft refuses a hook on a link that is gone.
                before, found = found, _present()
                if found == before:
                    raise
            else:
                return

    def _load(self, found: list[outlet.Outlet]) -> None:
        if found and self._inside.cluster:
            nft.load("".join(outlet.rulesets(found, self._inside).values()))

    def _fit(self, found: list[outlet.Outlet]) -> None:
        there = {table: nft.find_table(table) for table in outlet.TABLES}
        if not found:
            for table in outlet.TABLES:
                if there[table] is not None:
                    nft.delete_table(table)
            return
        if not self._inside.cluster:
            return
        wanted = outlet.rulesets(found, self._inside)
        changed = [
            ruleset
            for table, ruleset in wanted.items()
            if not self._canonical.is_intact(table, there[table], ruleset)
        ]
        if changed:
            nft.load("".join(changed))


def node_ends(pod: int) -> list[NodeEnd]:
    """Return the node's links whose other ends are in the namespace `pod`, an open descriptor.

    None of a pod whose CNI plugin uses no pair of links, such as ipvlan.
    """
    with netns.entered(pod), IPRoute() as kernel:
        links = list(kernel.get_links())
    with IPRoute() as kernel:
        return ends_of(kernel, pod, links)


def ends_of(
    kernel: Any,  # noqa: ANN401 - pyroute2 has no types
    pod: int,
    links: Iterable[Any],
) -> list[NodeEnd]:
    """Return what `node_ends` does.

    Args:
        kernel: an `IPRoute` of the node's namespace.
        pod: the pod's namespace, an open descriptor.
        links: all links in there.
    """
    others = {link.get_attr("IFLA_LINK") for link in links if _is_of_a_pair(link)}
    # One by one: the node has as many links as pods. Asking for one is also what numbers the
    # namespace of its other end.
    found = [link for index in sorted(others) for link in link_of(kernel, index)]
    number = kernel.get_netnsid(fd=pod)["nsid"]
    return [
        NodeEnd(
            index=link["index"],
            name=link.get_attr("IFLA_IFNAME"),
            peer=link.get_attr("IFLA_LINK"),
            alias=link.get_attr("IFLA_IFALIAS") or "",
        )
        for link in found
        if link.get_attr("IFLA_LINK_NETNSID") == number and _is_of_a_pair(link)
    ]


def link_of(kernel: Any, index: int) -> list[Any]:  # noqa: ANN401 - pyroute2 has no types
    """Return the link of that index in the kernel's namespace; nothing where there is none.

    Raises:
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    try:
        return list(kernel.get_links(index))
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return []
        raise


def _is_of_a_pair(link: Any) -> bool:  # noqa: ANN401 - as above
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return kind == "veth" and link.get_attr("IFLA_LINK_NETNSID") is not None


def mac_behind(pod: int, link: str) -> bytes | None:
    """Return the MAC address at which the node takes what the pod sends by that link.

    None where the node has no end of it.

    Raises:
        pyroute2.NetlinkError, OSError: the kernel refused to tell.
    """
    with netns.entered(pod), IPRoute() as kernel:
        indices = kernel.link_lookup(ifname=link)
    end = next((end for end in node_ends(pod) if end.peer in indices), None)
    if end is None:
        return None
    with IPRoute() as kernel:
        (port,) = kernel.get_links(end.index)
        # A port of a bridge takes nothing for itself: the bridge does.
        master = port.get_attr("IFLA_MASTER")
        (taker,) = kernel.get_links(master) if master else (port,)
    return bytes.fromhex(taker.get_attr("IFLA_ADDRESS").replace(":", ""))


def cut_off(pod: int) -> None:
    """Shut all links between the node and the pod, for good; doing it again is fine.

    Of links that have no end on the node, the pod's own ends are shut, which is all that is left.

    Raises:
        pyroute2.NetlinkError, OSError: the kernel refused.
    """
    ends = node_ends(pod)
    with IPRoute() as kernel:
        for end in ends:
            kernel.link("set", index=end.index, state="down", IFLA_IFALIAS=outlet.CUT_OFF)
    shut = {end.peer for end in ends}
    with netns.entered(pod), IPRoute() as kernel:
        for link in kernel.get_links():
            if link["index"] not in shut and not link["flags"] & _LOOPBACK:
                kernel.link("set", index=link["index"], state="down")


def _present() -> list[outlet.Outlet]:
    read = (outlet.read(link.name, link.alias) for link in linklist.dump())
    return [found for found in read if found is not None]
