"""The node's ends of confined pods' links, in the calling thread's namespace.

A link's alias says what it is, so that the filter follows from what the kernel holds.
"""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute

from piavpn.net import netns, nft
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
        self.ensure()

    def ensure(self) -> None:
        """Make the filter fit the links that are there; without any there is none.

        Raises:
            NftError: nft refused.
            pyroute2.NetlinkError: the kernel refused to tell.
        """
        found = _present()
        while True:
            try:
                self._fit(found)
            except nft.NftError:
                # A pod may have ended meanwhile: nft refuses a hook on a link that is gone.
                before, found = found, _present()
                if found == before:
                    raise
            else:
                return

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
        devices = tuple(sorted(item.name for item in found))
        changed = [
            ruleset
            for table, ruleset in wanted.items()
            if there[table] != self._canonical.listing(table, ruleset, devices)
        ]
        if changed:
            nft.load("".join(changed))


def node_ends(pod: int) -> list[NodeEnd]:
    """Return the node's links whose other ends are in the namespace `pod`, an open descriptor.

    None of a pod whose CNI plugin uses no pair of links, such as ipvlan.
    """
    with IPRoute() as kernel:
        # The dump is what numbers the namespaces of the other ends.
        links = list(kernel.get_links())
        number = kernel.get_netnsid(fd=pod)["nsid"]
    return [
        NodeEnd(
            index=link["index"],
            name=link.get_attr("IFLA_IFNAME"),
            peer=link.get_attr("IFLA_LINK"),
            alias=link.get_attr("IFLA_IFALIAS") or "",
        )
        for link in links
        if link.get_attr("IFLA_LINK_NETNSID") == number
        and link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    ]


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
        here = {item["index"]: item for item in kernel.get_links()}
    # A port of a bridge takes nothing for itself: the bridge does.
    port = here[end.index]
    taker = here.get(port.get_attr("IFLA_MASTER"), port)
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
    with IPRoute() as kernel:
        links: list[Any] = list(kernel.get_links())
    read = (outlet.read(x.get_attr("IFLA_IFNAME"), x.get_attr("IFLA_IFALIAS") or "") for x in links)
    return [found for found in read if found is not None]
