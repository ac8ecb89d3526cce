"""The VPNs' bridges on this node. All functions work in the calling thread's namespace.

A bridge of ours is known by its link alias, so that a restarted agent finds what it has to remove.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from typing import Any

from pyroute2 import IPRoute

from piavpn.net.routing import MAIN_TABLE
from piavpn.node import guard, model, podnet

_UP = 1
_DEFAULT_MTU = 1500


class SubnetInUseError(Exception):
    """The VPN's subnet overlaps something of the node; the message says what and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """A bridge of ours that is there."""

    vpn: str
    name: str
    host: ipaddress.IPv4Interface | None
    mac: str
    mtu: int
    up: bool


def present() -> dict[str, Present]:
    """Return our bridges by their VPN."""
    with IPRoute() as kernel:
        links = list(kernel.get_links())
        addresses = list(kernel.get_addr(family=socket.AF_INET))
    found = [_read(link, addresses) for link in links if _is_ours(link)]
    return {bridge.vpn: bridge for bridge in found}


def ensure(network: model.Network, before: Present | None) -> bool:
    """Make the VPN's bridge as it must be; return whether anything had to change.

    Its MAC address is fixed: else it would follow its ports, and hosts would lose their way.

    Raises:
        SubnetInUseError: the subnet overlaps an address or route of the node, or a link that is
            not ours has the bridge's name.
        pyroute2.NetlinkError, OSError: the kernel refused.
    """
    if before == _wanted(network):
        return False
    with IPRoute() as kernel:
        if before is None:
            _refuse_strange_link(kernel, network)
        if before is None or before.host != network.interface(network.host):
            _refuse_overlap(kernel, network)
        if before is None:
            kernel.link("add", ifname=network.bridge, kind="bridge", br_forward_delay=0)
        index = kernel.link_lookup(ifname=network.bridge)[0]
        # The alias first: whatever fails after it, the bridge is known as ours and removed.
        kernel.link("set", index=index, IFLA_IFALIAS=f"{guard.ALIAS}{network.vpn}")
        podnet.write_sysctls(_sysctls(network.bridge))
        kernel.link("set", index=index, address=model.mac_of(network.host), mtu=network.mtu)
        kernel.flush_addr(index=index, family=socket.AF_INET)
        kernel.addr(
            "replace", index=index, address=str(network.host), prefixlen=network.subnet.prefixlen
        )
        kernel.link("set", index=index, state="up")
    return True


def remove(bridge: Present) -> None:
    """Remove the bridge; one that is gone already is fine."""
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=bridge.name):
            kernel.link("del", index=index)


def uplink_mtu() -> int:
    """Return the MTU of the node's default route's link: what encrypted packets must fit in."""
    with IPRoute() as kernel:
        routes = kernel.get_default_routes(family=socket.AF_INET)
        indexes = [route.get_attr("RTA_OIF") for route in routes if route.get_attr("RTA_OIF")]
        mtus = [kernel.get_links(index)[0].get_attr("IFLA_MTU") for index in indexes]
    return min(mtus, default=_DEFAULT_MTU)


def _wanted(network: model.Network) -> Present:
    return Present(
        vpn=network.vpn,
        name=network.bridge,
        host=network.interface(network.host),
        mac=model.mac_of(network.host),
        mtu=network.mtu,
        up=True,
    )


def _sysctls(bridge: str) -> dict[str, str]:
    """Return what keeps the node from being more on the bridge than its one address."""
    return {
        f"net/ipv6/conf/{bridge}/disable_ipv6": "1",
        f"net/ipv4/conf/{bridge}/forwarding": "0",
        f"net/ipv4/conf/{bridge}/arp_ignore": "1",
    }


def _is_ours(link: Any) -> bool:  # noqa: ANN401 - pyroute2 has no types
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return kind == "bridge" and (link.get_attr("IFLA_IFALIAS") or "").startswith(guard.ALIAS)


def _read(link: Any, addresses: list[Any]) -> Present:  # noqa: ANN401
    own = [
        ipaddress.IPv4Interface(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        for item in addresses
        if item["index"] == link["index"]
    ]
    return Present(
        vpn=link.get_attr("IFLA_IFALIAS").removeprefix(guard.ALIAS),
        name=link.get_attr("IFLA_IFNAME"),
        host=own[0] if len(own) == 1 else None,
        mac=link.get_attr("IFLA_ADDRESS"),
        mtu=link.get_attr("IFLA_MTU"),
        up=bool(link["flags"] & _UP),
    )


def _refuse_strange_link(kernel: Any, network: model.Network) -> None:  # noqa: ANN401
    if kernel.link_lookup(ifname=network.bridge):
        raise SubnetInUseError(
            f"the node has a link {network.bridge} that is not the operator's: remove it, or give"
            " the PiaVpn another name"
        )


def _refuse_overlap(kernel: Any, network: model.Network) -> None:  # noqa: ANN401
    """Refuse a subnet that is, or holds, or lies in one of the node's own networks.

    A wider route by a next hop, such as one of a whole company, is none: the subnet is more exact.
    """
    links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in kernel.get_links()}
    for route in kernel.get_routes(family=socket.AF_INET, table=MAIN_TABLE):
        link = links.get(route.get_attr("RTA_OIF"), "another link")
        if not route.get_attr("RTA_DST") or link == network.bridge:
            continue
        if _overlaps(route, network.subnet):
            raise SubnetInUseError(
                f"subnet {network.subnet} overlaps the node's route to"
                f" {route.get_attr('RTA_DST')}/{route['dst_len']} on {link}: delete"
                " the PiaVpn and create it again with another spec.network.subnet"
            )


def _overlaps(route: Any, subnet: ipaddress.IPv4Network) -> bool:  # noqa: ANN401
    destination = ipaddress.IPv4Network(f"{route.get_attr('RTA_DST')}/{route['dst_len']}")
    more_exact = destination.prefixlen < subnet.prefixlen and route.get_attr("RTA_GATEWAY")
    return destination.overlaps(subnet) and not more_exact
