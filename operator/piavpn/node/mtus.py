"""How large packets may be, in bytes, where encrypted ones go by an uplink of some MTU. Pure."""

from __future__ import annotations

_LARGEST = 1420
_TO_SERVER = 80  # IPv6 header, UDP header, WireGuard's own
_TO_NODE = 60  # the same over IPv4, between nodes
_VXLAN = 70  # inner Ethernet header, VXLAN's own, UDP header, IPv6 header


def of_tunnel(uplink: int) -> int:
    """Return the MTU of a VPN's tunnel and bridge. Between nodes VXLAN in clear takes less."""
    return min(_LARGEST, uplink - _TO_SERVER)


def of_encrypted(uplink: int) -> int:
    """Return the same for a VPN whose VXLAN goes by the nodes' WireGuard link."""
    return min(_LARGEST, of_mesh(uplink) - _VXLAN)


def of_mesh(uplink: int) -> int:
    """Return the MTU of the nodes' WireGuard link."""
    return uplink - _TO_NODE
