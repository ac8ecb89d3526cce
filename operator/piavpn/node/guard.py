"""The filter on the bridges' ports: each pod speaks for its own addresses alone. Pure.

Port isolation does not keep a program with raw sockets from claiming the gateway's address by ARP,
or from sending in another service's name. This does, before the bridge learns anything. A gateway
forwards what comes from the Internet, so its packets may have any source, from its own MAC address.
What is neither IPv4 nor ARP (IPv6, VLANs) does not pass at all.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection

from piavpn.api import names
from piavpn.node import model
from piavpn.node.model import Role

TABLE = "bridge piavpn_ports"
ALIAS = f"{names.GROUP}/"
"""What the aliases of our links begin with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The pod that a port is for."""

    role: Role
    address: ipaddress.IPv4Address

    def to_alias(self) -> str:
        """Return it as the port's link alias."""
        return f"{ALIAS}{self.role}/{self.address}"

    @classmethod
    def from_alias(cls, alias: str) -> Owner | None:
        """Read it from the port's link alias; None where that says nothing of the kind."""
        role, _, address = alias.removeprefix(ALIAS).partition("/")
        try:
            return cls(Role(role), ipaddress.IPv4Address(address))
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A pod's end on a bridge of ours."""

    name: str
    owner: Owner | None
    """None while it is not known: then nothing passes."""


def ruleset(ports: Collection[Port]) -> str:
    """Return the filter as text for nft; it replaces the table in one transaction."""
    ordered = sorted(ports, key=lambda port: port.name)
    owned = [
        (f'"{port.name}" . {model.mac_of(port.owner.address)}', port.owner)
        for port in ordered
        if port.owner is not None
    ]
    return _RULES.format(
        ports=_elements([f'"{port.name}"' for port in ordered]),
        own=_elements([f"{port} . {owner.address}" for port, owner in owned]),
        gateways=_elements([port for port, owner in owned if owner.role is Role.GATEWAY]),
    )


def _elements(elements: Collection[str]) -> str:
    return f" elements = {{ {', '.join(elements)} }};" if elements else ""


_RULES = """\
table bridge piavpn_ports
delete table bridge piavpn_ports
table bridge piavpn_ports {{
  set ports {{ type ifname;{ports} }}
  set own {{ type ifname . ether_addr . ipv4_addr;{own} }}
  set gateways {{ type ifname . ether_addr;{gateways} }}
  counter dropped_spoofed {{ }}
  counter dropped_protocol {{ }}
  chain incoming {{
    type filter hook prerouting priority -300; policy accept;
    iifname != @ports accept
    ether type ip iifname . ether saddr . ip saddr @own accept
    ether type ip iifname . ether saddr @gateways accept
    ether type arp arp htype 1 arp ptype ip iifname . ether saddr . arp saddr ip @own \
iifname . arp saddr ether . arp saddr ip @own accept
    ether type {{ ip, arp }} counter name dropped_spoofed drop
    counter name dropped_protocol drop
  }}
}}
"""
