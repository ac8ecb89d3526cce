"""The bridges' ports on this node, in the calling thread's namespace.

A port's link alias says whose it is, so that the guard follows from what the kernel holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pyroute2 import IPRoute

from piavpn.net import fdb, linklist, nft
from piavpn.node import canonical, guard, model
from piavpn.node.model import Role


def assign(port: str, owner: guard.Owner) -> None:
    """Say that the port is that pod's, and guard it.

    Raises:
        NftError: nft refused.
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=port):
            kernel.link("set", index=index, IFLA_IFALIAS=owner.to_alias())
    # What was there lacks this port: that need not be asked.
    nft.load(guard.ruleset(*_present()))


def owner_of(link: linklist.Link) -> guard.Owner | None:
    """Return the pod whose port the link is, as `assign` said."""
    return guard.Owner.from_alias(link.alias)


def isolate(bridge: str, owner: guard.Owner, *, isolated: bool) -> None:
    """Keep the pod's port on the bridge from other isolated ones, or let it reach them.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in _of_bridge(bridge, {owner}):
            kernel.brport("set", index=index, isolated=int(isolated))


def resize(bridge: str, owner: guard.Owner, mtu: int) -> None:
    """Give the pod's port on the bridge this MTU.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in _of_bridge(bridge, {owner}):
            kernel.link("set", index=index, mtu=mtu)


def remove(bridge: str, owners: Collection[guard.Owner] | None = None) -> None:
    """Remove a bridge's ports, or those of some pods' addresses; the pods lose their links.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in _of_bridge(bridge, owners):
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
    bridge: str,
    owners: Collection[guard.Owner] | None,
) -> list[int]:
    """Return the indexes of a bridge's ports, of these pods alone where some are named."""
    links = linklist.dump()
    masters = [link.index for link in links if link.name == bridge]
    return [
        link.index
        for link in links
        if link.master in masters and (owners is None or owner_of(link) in owners)
    ]


def _present() -> tuple[list[guard.Port], list[guard.Uplink]]:
    links = linklist.dump()
    bridges = {
        link.index: link
        for link in links
        if link.alias.startswith(guard.ALIAS) and link.kind == "bridge"
    }
    of_ours = [link for link in links if link.master in bridges]
    to_nodes = [link for link in of_ours if guard.is_uplink_alias(link.alias)]
    uplinks = []
    if to_nodes:
        with IPRoute() as kernel:
            forwarded = fdb.static(fdb.dump(kernel))
        uplinks = [
            _uplink(link, bridges[link.master], forwarded.get(link.index, set()))
            for link in to_nodes
        ]
    ports = [guard.Port(link.name, owner_of(link)) for link in of_ours if link not in to_nodes]
    return ports, uplinks


def _uplink(link: linklist.Link, bridge: linklist.Link, macs: Iterable[str]) -> guard.Uplink:
    """Return what the link speaks for: those to whom the bridge sends by it."""
    addresses = (address for mac in macs if (address := model.address_of(mac)) is not None)
    return guard.Uplink(
        name=link.name,
        host=model.address_of(bridge.mac),
        owners=tuple(
            guard.Owner(
                Role.GATEWAY if guard.uplink_alias(address) == link.alias else Role.SERVICE, address
            )
            for address in addresses
        ),
    )
