"""The VXLAN links that join bridges to those of other nodes, in the calling thread's namespace.

They forward by entries that are set here, and by no others: they learn nothing, and flood nothing
but broadcasts, which go to the nodes of peers. A link is up only while the guard is around it.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from piavpn.api import names
from piavpn.net import fdb
from piavpn.node import canonical, guard, model, podnet, ports
from piavpn.node.model import Overlay

_UP = 1
_KIND = "vxlan"
_PORT_FLAGS = {"learning": 0, "unicast_flood": 0, "mcast_flood": 0, "bcast_flood": 1}


class OverlayError(Exception):
    """A link cannot be made; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What the kernel changes of no VXLAN link that is there."""

    name: str
    vni: int
    local: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    device: str | None
    """The one link by which it sends; it goes with that."""
    port: int
    learning: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Attributes:
    """What can be changed."""

    bridge: str | None
    alias: str
    mtu: int
    isolated: bool
    floods_broadcasts_alone: bool
    """And learns nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tables:
    """What is forwarded by it."""

    macs: frozenset[str]
    """By the bridge."""
    entries: frozenset[fdb.Entry]
    """By the link itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """A link of ours that is there."""

    index: int
    identity: Identity
    attributes: Attributes
    tables: Tables
    up: bool


def present() -> dict[str, Present]:
    """Return our links by their name.

    Raises:
        pyroute2.NetlinkError: the kernel refused to tell.
    """
    with IPRoute() as kernel:
        links = list(kernel.get_links())
        ours = [link for link in links if _is_ours(link)]
        if not ours:
            return {}
        table = fdb.dump(kernel)
    macs, entries = fdb.static(table), fdb.entries(table, {link["index"] for link in ours})
    by_index = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    found = [
        Present(
            index=link["index"],
            identity=_identity(link, by_index),
            attributes=_attributes(link, by_index),
            tables=Tables(
                frozenset(macs.get(link["index"], ())), frozenset(entries.get(link["index"], ()))
            ),
            up=bool(link["flags"] & _UP),
        )
        for link in ours
    ]
    return {it.identity.name: it for it in found}


def ensure(overlay: Overlay, before: Present | None, known: canonical.Canonical) -> bool:
    """Make the link as it must be; return whether anything had to change.

    Raises:
        OverlayError: something else is in the way.
        NftError: nft refused the guard; then the link is not up.
        pyroute2.NetlinkError: the kernel refused.
    """
    if before is not None and before.identity != _wanted_identity(overlay):
        remove(before)
        before = None
    if before is not None and before.up and _is_right(overlay, before):
        return False
    with IPRoute() as kernel:
        index = _add(kernel, overlay) if before is None else before.index
        if before is None or before.attributes != _wanted_attributes(overlay):
            _set(kernel, index, before, overlay)
        tables = before.tables if before is not None else Tables(frozenset(), frozenset())
        _forward(kernel, index, tables, overlay)
        ports.ensure_guard(known)
        kernel.link("set", index=index, state="up")
    return True


def remove(there: Present) -> None:
    """Remove the link; one that is gone already is fine.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=there.identity.name):
            kernel.link("del", index=index)


def _is_right(overlay: Overlay, there: Present) -> bool:
    return (there.attributes, there.tables) == (_wanted_attributes(overlay), _tables(overlay))


def _wanted_identity(overlay: Overlay) -> Identity:
    return Identity(
        name=overlay.link,
        vni=overlay.vni,
        local=overlay.local,
        device=overlay.device,
        port=names.OVERLAY_PORT,
        learning=False,
    )


def _wanted_attributes(overlay: Overlay) -> Attributes:
    return Attributes(
        bridge=overlay.network.bridge,
        alias=guard.uplink_alias(overlay.gateway),
        mtu=overlay.network.mtu,
        isolated=overlay.isolated,
        floods_broadcasts_alone=True,
    )


def _tables(overlay: Overlay) -> Tables:
    known = {fdb.Entry(model.mac_of(peer.address), peer.node) for peer in overlay.peers}
    everybody = {fdb.Entry(fdb.EVERYBODY, node) for node in overlay.nodes}
    return Tables(frozenset(entry.mac for entry in known), frozenset(known | everybody))


def _is_ours(link: Any) -> bool:  # noqa: ANN401 - pyroute2 has no types
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return kind == _KIND and guard.is_uplink_alias(link.get_attr("IFLA_IFALIAS") or "")


def _identity(link: Any, names_by_index: dict[int, str]) -> Identity:  # noqa: ANN401
    data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6")
    return Identity(
        name=link.get_attr("IFLA_IFNAME"),
        vni=data.get_attr("IFLA_VXLAN_ID"),
        local=ipaddress.ip_address(local) if local else None,
        device=names_by_index.get(data.get_attr("IFLA_VXLAN_LINK")),
        port=data.get_attr("IFLA_VXLAN_PORT"),
        learning=bool(data.get_attr("IFLA_VXLAN_LEARNING")),
    )


def _attributes(link: Any, names_by_index: dict[int, str]) -> Attributes:  # noqa: ANN401
    port = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA")
    flags = {name: port and port.get_attr(f"IFLA_BRPORT_{name.upper()}") for name in _PORT_FLAGS}
    return Attributes(
        bridge=names_by_index.get(link.get_attr("IFLA_MASTER")),
        alias=link.get_attr("IFLA_IFALIAS"),
        mtu=link.get_attr("IFLA_MTU"),
        isolated=bool(port and port.get_attr("IFLA_BRPORT_ISOLATED")),
        floods_broadcasts_alone=flags == _PORT_FLAGS,
    )


def _add(kernel: Any, overlay: Overlay) -> int:  # noqa: ANN401
    """Make the link, which is down at first."""
    _remove_unfinished(kernel, overlay.link)
    try:
        kernel.link(
            "add",
            ifname=overlay.link,
            kind=_KIND,
            vxlan_id=overlay.vni,
            vxlan_port=names.OVERLAY_PORT,
            vxlan_learning=0,
            **_ends(kernel, overlay),
        )
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        raise OverlayError(
            f"the node has a link {overlay.link} that is not the operator's, or another VXLAN link"
            f" of UDP port {names.OVERLAY_PORT} and VNI {overlay.vni}, the last three bytes of"
            f" subnet {overlay.network.subnet}: remove that, or delete the PiaVpn and create it"
            " again with another spec.network.subnet"
        ) from error
    return int(kernel.link_lookup(ifname=overlay.link)[0])


def _ends(kernel: Any, overlay: Overlay) -> dict[str, Any]:  # noqa: ANN401
    """Return where the link sends from.

    Raises:
        OverlayError: the link that it may leave by is not there.
    """
    version = "" if overlay.local.version == 4 else "6"  # noqa: PLR2004 - of IP
    ends = {f"vxlan_local{version}": str(overlay.local)}
    if overlay.device is None:
        return ends
    found = kernel.link_lookup(ifname=overlay.device)
    if not found:
        raise OverlayError(f"link {overlay.device} to the other nodes is not there")
    return ends | {"vxlan_link": found[0]}


def _remove_unfinished(kernel: Any, name: str) -> None:  # noqa: ANN401
    """Remove what an agent left that ended between making a link and saying whose it is."""
    for index in kernel.link_lookup(ifname=name):
        (link,) = kernel.get_links(index)
        data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
        if (
            link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == _KIND
            and data.get_attr("IFLA_VXLAN_PORT") == names.OVERLAY_PORT
        ):
            kernel.link("del", index=index)


def _set(kernel: Any, index: int, before: Present | None, overlay: Overlay) -> None:  # noqa: ANN401
    """Make it the bridge's port, which it becomes while it is down: the guard comes after it."""
    wanted = _wanted_attributes(overlay)
    kernel.link("set", index=index, IFLA_IFALIAS=wanted.alias, mtu=wanted.mtu)
    # Else the node would speak for itself by it.
    podnet.write_sysctls({f"net/ipv6/conf/{overlay.link}/disable_ipv6": "1"})
    if before is None or before.attributes.bridge != wanted.bridge:
        (bridge,) = kernel.link_lookup(ifname=wanted.bridge)
        kernel.link("set", index=index, state="down")
        kernel.link("set", index=index, master=bridge)
    kernel.brport("set", index=index, isolated=int(wanted.isolated), **_PORT_FLAGS)


def _forward(kernel: Any, index: int, before: Tables, overlay: Overlay) -> None:  # noqa: ANN401
    """Bring the tables to what they must be; who stays is reached all the time."""
    wanted = _tables(overlay)
    for mac in before.macs - wanted.macs:
        fdb.unset_static(kernel, index, mac)
    for entry in wanted.entries - before.entries:
        fdb.set_entry(kernel, index, entry)
    for entry in before.entries - wanted.entries:
        # One of another node for a MAC address that stays was replaced.
        if entry.mac == fdb.EVERYBODY or entry.mac not in wanted.macs:
            fdb.unset_entry(kernel, index, entry)
    came = wanted.macs - before.macs
    if came:
        addresses = [peer for peer in overlay.peers if model.mac_of(peer.address) in came]
        owners = {guard.Owner(peer.role, peer.address) for peer in addresses}
        # Pods that were here: an ended pod's link may outlive it in the kernel.
        ports.remove(overlay.network.bridge, owners)
    for mac in came:
        fdb.set_static(kernel, index, mac)
