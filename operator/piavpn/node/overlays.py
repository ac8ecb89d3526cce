"""Which pods on other nodes a VPN's bridge here is joined to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

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
