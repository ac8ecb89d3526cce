"""The bridges' ports on this node, in the calling thread's namespace.

A port's link alias says whose it is, so that the guard follows from what the kernel holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pyroute2 import IPRoute

from piavpn.net import fdb, nft
from piavpn.node import canonical, guard, model
from piavpn.node.model import Role


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
        for index in _of_bridge(kernel, bridge, {owner}):
            kernel.brport("set", index=index, isolated=int(isolated))


def resize(bridge: str, owner: guard.Owner, mtu: int) -> None:
    """Give the pod's port on the bridge this MTU.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in _of_bridge(kernel, bridge, {owner}):
            kernel.link("set", index=index, mtu=mtu)


def remove(bridge: str, owners: Collection[guard.Owner] | None = None) -> None:
    """Remove a bridge's ports, or those of some pods' addresses; the pods lose their links.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in _of_bridge(kernel, bridge, owners):
            kernel.link("del", index=index)


def ensure_guard(known: canonical.Canonical) -> None:
    """Make the guard fit the ports that are there; without any there is none.

    Raises:
        NftError: nft refused.
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    ports, uplinks = _present()
    there = nft.find_table(guard.TABLE)
    if not ports and not uplinks:
        if there is not None:
            nft.delete_table(guard.TABLE)
        return
    ruleset = guard.ruleset(ports, uplinks)
    if not known.is_intact(guard.TABLE, there, ruleset):
        nft.load(ruleset)


def _of_bridge(
    kernel: Any,  # noqa: ANN401 - pyroute2 has no types
    bridge: str,
    owners: Collection[guard.Owner] | None,
) -> list[int]:
    """Return the indexes of a bridge's ports, of these pods alone where some are named."""
    masters = kernel.link_lookup(ifname=bridge)
    return [
        link["index"]
        for link in kernel.get_links()
        if link.get_attr("IFLA_MASTER") in masters and (owners is None or owner_of(link) in owners)
    ]


def _present() -> tuple[list[guard.Port], list[guard.Uplink]]:
    with IPRoute() as kernel:
        links = list(kernel.get_links())
        bridges = {
            link["index"]: link
            for link in links
            if (link.get_attr("IFLA_IFALIAS") or "").startswith(guard.ALIAS)
            and link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
        }
        of_ours = [link for link in links if link.get_attr("IFLA_MASTER") in bridges]
        to_nodes = [link for link in of_ours if _is_uplink(link)]
        forwarded = fdb.static(fdb.dump(kernel)) if to_nodes else {}
    uplinks = [
        _uplink(link, bridges[link.get_attr("IFLA_MASTER")], forwarded.get(link["index"], set()))
        for link in to_nodes
    ]
    ports = [
        guard.Port(link.get_attr("IFLA_IFNAME"), owner_of(link))
        for link in of_ours
        if not _is_uplink(link)
    ]
    return ports, uplinks


def _is_uplink(link: Any) -> bool:  # noqa: ANN401
    return guard.is_uplink_alias(link.get_attr("IFLA_IFALIAS") or "")


def _uplink(link: Any, bridge: Any, macs: Iterable[str]) -> guard.Uplink:  # noqa: ANN401
    """Return what the link speaks for: those to whom the bridge sends by it."""
    addresses = (address for mac in macs if (address := model.address_of(mac)) is not None)
    alias = link.get_attr("IFLA_IFALIAS")
    return guard.Uplink(
        name=link.get_attr("IFLA_IFNAME"),
        host=model.address_of(bridge.get_attr("IFLA_ADDRESS")),
        owners=tuple(
            guard.Owner(
                Role.GATEWAY if guard.uplink_alias(address) == alias else Role.SERVICE, address
            )
            for address in addresses
        ),
    )
