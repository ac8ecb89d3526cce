"""The bridges' ports on this node, in the calling thread's namespace.

A port's link alias says whose it is, so that the guard follows from what the kernel holds.
"""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute

from piavpn.net import nft
from piavpn.node import canonical, guard


def assign(port: str, owner: guard.Owner) -> None:
    """Say that the port is that pod's.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=port):
            kernel.link("set", index=index, IFLA_IFALIAS=owner.to_alias())


def owner_of(link: Any) -> guard.Owner | None:  # noqa: ANN401 - pyroute2 has no types
    """Return the pod whose port the link is, as `assign` said."""
    return guard.Owner.from_alias(link.get_attr("IFLA_IFALIAS") or "")


def isolate(bridge: str, owner: guard.Owner, *, isolated: bool) -> None:
    """Keep the pod's port on the bridge from other isolated ones, or let it reach them.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        masters = kernel.link_lookup(ifname=bridge)
        for link in list(kernel.get_links()):
            if link.get_attr("IFLA_MASTER") in masters and owner_of(link) == owner:
                kernel.brport("set", index=link["index"], isolated=int(isolated))


def remove(bridge: str, owner: guard.Owner | None = None) -> None:
    """Remove a bridge's ports, or those of one pod's address; the pods lose their links.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        masters = kernel.link_lookup(ifname=bridge)
        for link in list(kernel.get_links()):
            if link.get_attr("IFLA_MASTER") in masters and owner in {None, owner_of(link)}:
                kernel.link("del", index=link["index"])


def ensure_guard(known: canonical.Canonical) -> None:
    """Make the guard fit the ports that are there; without any there is none.

    Raises:
        NftError: nft refused.
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    ports = _present()
    there = nft.find_table(guard.TABLE)
    if not ports:
        if there is not None:
            nft.delete_table(guard.TABLE)
        return
    ruleset = guard.ruleset(ports)
    if there != known.listing(guard.TABLE, ruleset):
        nft.load(ruleset)


def _present() -> list[guard.Port]:
    with IPRoute() as kernel:
        links = list(kernel.get_links())
    bridges = {
        link["index"]
        for link in links
        if (link.get_attr("IFLA_IFALIAS") or "").startswith(guard.ALIAS)
        and link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
    }
    return [
        guard.Port(link.get_attr("IFLA_IFNAME"), owner_of(link))
        for link in links
        if link.get_attr("IFLA_MASTER") in bridges
    ]
