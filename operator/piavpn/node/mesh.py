"""What joins the nodes by WireGuard, for the VPNs whose traffic between nodes is encrypted. Pure.

Each node has an address of its own in `PREFIX`, which follows from its IPv4 address. Nothing else
uses the prefix: where the link is not there, its addresses are unreachable.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

from piavpn.node import mtus

PREFIX = ipaddress.IPv6Network("fd76:706e::/96")


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Another node."""

    node: ipaddress.IPv4Address
    """Its own address."""
    public_key: str
    """Of WireGuard, base64."""

    @property
    def address(self) -> ipaddress.IPv6Address:
        """Its address in the mesh, the only one that it may send from."""
        return address_of(self.node)


@dataclasses.dataclass(frozen=True, slots=True)
class Mesh:
    """The node's link to the other nodes."""

    address: ipaddress.IPv6Address
    mtu: int
    peers: tuple[Peer, ...]
    """The other nodes whose keys are known, by address."""


def address_of(node: ipaddress.IPv4Address) -> ipaddress.IPv6Address:
    """Return the address that a node of this IPv4 address has within the mesh."""
    return PREFIX[int(node)]


def plan(
    node: ipaddress.IPv4Address, keys: Mapping[ipaddress.IPv4Address, str], uplink: int
) -> Mesh:
    """Return the node's link, to every other node whose key is known.

    Args:
        node: this node's own address.
        keys: the nodes' public keys, by their own addresses.
        uplink: MTU of the link to the other nodes.
    """
    others = sorted(keys.keys() - {node})
    return Mesh(
        address=address_of(node),
        mtu=mtus.of_mesh(uplink),
        peers=tuple(Peer(other, keys[other]) for other in others),
    )
