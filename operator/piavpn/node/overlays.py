"""Which pods on other nodes a VPN's bridge here is joined to. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable

from piavpn.node import mesh, reasons
from piavpn.node.decide import Problem
from piavpn.node.model import Network, Overlay, Peer, Role


def overlay(
    network: Network,
    local: ipaddress.IPv4Address,
    others: Iterable[Peer],
    *,
    gateway_here: bool,
) -> Overlay | None:
    """Return how the VPN's bridge is joined to other nodes; None where it is not.

    Where services are isolated, all roads lead to the gateway: its node knows all apps, and theirs
    know it alone. Without a gateway nothing goes anywhere.

    Args:
        network: the VPN's.
        local: this node's own address.
        others: the VPN's pods on other nodes.
        gateway_here: whether its gateway is on this node.
    """
    isolation = network.service_isolation
    wanted = {Role.GATEWAY} if isolation and not gateway_here else set(Role)
    peers = sorted(
        (peer for peer in others if peer.role in wanted), key=lambda peer: int(peer.address)
    )
    if not peers:
        return None
    return Overlay(network, local, tuple(peers), isolated=isolation and gateway_here)


def encrypted(
    plain: Overlay, local: ipaddress.IPv4Address, keyed: Collection[ipaddress.IPv4Address]
) -> Overlay | None:
    """Return the same by the nodes' addresses in the mesh; None where none of them can be reached.

    Args:
        plain: the overlay by the nodes' own addresses.
        local: this node's own address.
        keyed: the own addresses of the nodes whose public keys are known: only they are reached.
    """
    peers = tuple(
        dataclasses.replace(peer, node=mesh.address_of(node))
        for peer in plain.peers
        for node in keyed
        if node == peer.node
    )
    if not peers:
        return None
    return dataclasses.replace(plain, local=mesh.address_of(local), peers=peers)


def keyless(
    plain: Overlay, local: ipaddress.IPv4Address, keyed: Collection[ipaddress.IPv4Address]
) -> Problem | None:
    """Return whose unknown key keeps pods here from all others; None where it does not.

    That is this node's, or that of the gateway's. Another node tells of itself: a gateway is not
    wrong because a node of some app is.

    Args:
        plain: the overlay by the nodes' own addresses.
        local: this node's own address.
        keyed: the own addresses of the nodes whose public keys are known.
    """
    needed = {local, *(peer.node for peer in plain.peers if peer.role is Role.GATEWAY)}
    missing = sorted(str(node) for node in needed if node not in keyed)
    if not missing:
        return None
    return Problem(
        reasons.NODE_KEY_UNKNOWN,
        f"the public key of node {', '.join(missing)} is not known, so nothing of an encrypted VPN"
        " goes there: its node agent publishes it as ConfigMap piavpn-node-NODE; see the log of"
        " that agent",
    )
