"""Read and change the network namespace of a confined pod."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from pyroute2 import IPRoute

from piavpn.api import names
from piavpn.net import netns, nft, routes, routing
from piavpn.node import lock, outlet, outlets
from piavpn.node.model import BridgeLink, ClusterLink, NodeEnd, PodState, Role

_SYSCTLS = pathlib.Path("/proc/sys")
_UP = 1

Addresses = dict[int, list[ipaddress.IPv4Interface]]
"""Of links, by their numbers."""


def observe(fd: int, role: Role | None) -> PodState:
    """Return what the namespace `fd` holds; the calling thread is in the node's.

    Args:
        fd: the pod's network namespace.
        role: the pod's: it tells which kernel parameters count, and that in a gateway's the
            gateway has routes, too. None while it is not known.

    Raises:
        NftError: nft does not work.
        pyroute2.NetlinkError, OSError: the kernel refused to tell.
    """
    with netns.entered(fd):
        with IPRoute() as kernel:
            links = {link.get_attr("IFLA_IFNAME"): link for link in kernel.get_links()}
            addresses = _addresses(kernel)
            by_index = {link["index"]: name for name, link in links.items()}
            found = routes.dump(kernel, by_index)
        filters = nft.find_table(lock.TABLE)
        sysctls = read_sysctls(lock.sysctls(role) if role else ())
    cluster_link, bridge_link = links.get(names.CLUSTER_LINK), links.get(names.POD_LINK)
    with IPRoute() as kernel:
        ends = outlets.ends_of(kernel, fd, links.values())
        seen = _bridge_link(kernel, bridge_link, addresses) if bridge_link else None
    other_routes, other_rules = found.others(*owners(role))
    own_routes, own_rules = found.owned(routing.Owner.NODE_AGENT)
    own_addresses = addresses.get(cluster_link["index"], []) if cluster_link else []
    return PodState(
        cluster_link=_cluster_link(own_addresses, other_routes | own_routes),
        has_cluster_link=cluster_link is not None,
        bridge_link=seen,
        lock=filters,
        sysctls=sysctls,
        routes=own_routes,
        rules=own_rules,
        other_routes=other_routes,
        other_rules=other_rules,
        tunnels=frozenset(name for name in names.TUNNEL_LINKS if name in links),
        outlet=_end_of(cluster_link, ends),
        cut_off=any(end.alias == outlet.CUT_OFF for end in ends),
    )


def read_sysctls(parameters: Iterable[str]) -> dict[str, str]:
    """Return the kernel parameters of our namespace; those that it does not have are left out."""
    values = {}
    for parameter in parameters:
        with contextlib.suppress(FileNotFoundError):
            values[parameter] = (_SYSCTLS / parameter).read_text().strip()
    return values


def resize(mtu: int) -> None:
    """Give the link to the bridge, in our namespace, this MTU.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=names.POD_LINK):
            kernel.link("set", index=index, mtu=mtu)


def write_sysctls(values: Mapping[str, str]) -> None:
    """Set kernel parameters of our namespace; those that it does not have are left out.

    Raises:
        OSError: a value was refused, or /proc/sys is read-only.
    """
    for parameter, value in values.items():
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(_SYSCTLS / parameter, os.O_WRONLY)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)


def owners(role: Role | None) -> tuple[routing.Owner, ...]:
    """Return who has routes of their own in the namespace of such a pod; None: in any."""
    return (routing.Owner.NODE_AGENT,) if role is Role.SERVICE else tuple(routing.Owner)


def _addresses(kernel: Any) -> Addresses:  # noqa: ANN401 - pyroute2 has no types
    found: Addresses = {}
    for item in kernel.get_addr(family=socket.AF_INET):
        address = ipaddress.IPv4Interface(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        found.setdefault(item["index"], []).append(address)
    return found


def _cluster_link(
    own: list[ipaddress.IPv4Interface], known: Iterable[routing.Route]
) -> ClusterLink | None:
    """Read the link from the default route, or from ours for replies once that one is gone."""
    defaults = {
        route.table: route
        for route in known
        if route.dev == names.CLUSTER_LINK and route.destination == routing.EVERYWHERE
    }
    default = defaults.get(routing.MAIN_TABLE) or defaults.get(lock.REPLY_TABLE)
    if not own or default is None:
        return None
    return ClusterLink(address=own[0].ip, next_hop=default.via)


def _end_of(link: Any, ends: Iterable[NodeEnd]) -> NodeEnd | None:  # noqa: ANN401
    return next((end for end in ends if link and end.peer == link["index"]), None)


def _link(kernel: Any, index: int | None) -> Any:  # noqa: ANN401 - pyroute2 has no types
    return next(iter(outlets.link_of(kernel, index)), None) if index else None


def _bridge_link(
    kernel: Any,  # noqa: ANN401 - pyroute2 has no types
    link: Any,  # noqa: ANN401
    addresses: Addresses,
) -> BridgeLink:
    """Look at both ends of the link: its other one must be a port of a bridge here."""
    port = _link(kernel, link.get_attr("IFLA_LINK"))
    if port is None or port.get_attr("IFLA_LINK") != link["index"]:
        port = None
    bridge = _link(kernel, port.get_attr("IFLA_MASTER")) if port else None
    own = addresses.get(link["index"], [])
    port_data = ("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_ISOLATED")
    return BridgeLink(
        address=own[0] if len(own) == 1 else None,
        mac=link.get_attr("IFLA_ADDRESS"),
        bridge=bridge.get_attr("IFLA_IFNAME") if bridge else None,
        port_alias=(port.get_attr("IFLA_IFALIAS") or "") if port else "",
        isolated=bool(port and port.get_nested(*port_data)),
        mtu=min(end.get_attr("IFLA_MTU") for end in (link, port) if end),
        up=bool(link["flags"] & _UP),
    )
