"""The filter on the bridges' ports: each pod speaks for its own addresses alone. Pure.

Port isolation does not keep a program with raw sockets from claiming the gateway's address by ARP,
or from sending in another service's name. This does, before the bridge learns anything. A gateway
forwards what comes from the Internet, so its packets may have any source, from its own MAC address.
What is neither IPv4 nor ARP (IPv6, VLANs) does not pass at all.

A link to other nodes speaks for the pods there that this node knows, and for none else. Each node
has the bridge's host address, which is its own affair: nobody asks for it, or tells of it, by such
a link, and the bridge itself says nothing there, as it would of the multicast groups that it hears.
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
_UPLINK_ALIAS = f"{ALIAS}nodes/"


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


@dataclasses.dataclass(frozen=True, slots=True)
class Uplink:
    """A bridge's link to other nodes."""

    name: str
    host: ipaddress.IPv4Address | None
    """The bridge's host address; None while it is not known."""
    owners: tuple[Owner, ...]
    """The pods there."""


def uplink_alias(gateway: ipaddress.IPv4Address | None) -> str:
    """Return the alias of a link to other nodes, by which way the gateway is, or is not."""
    return f"{_UPLINK_ALIAS}{gateway or ''}"


def is_uplink_alias(alias: str) -> bool:
    """Tell whether `uplink_alias` made it."""
    return alias.startswith(_UPLINK_ALIAS)


def ruleset(ports: Collection[Port], uplinks: Collection[Uplink] = ()) -> str:
    """Return the filter as text for nft; it replaces the table in one transaction."""
    closed = {port.name for port in ports} | {uplink.name for uplink in uplinks}
    pairs = [(port.name, port.owner) for port in ports if port.owner is not None]
    pairs += [(uplink.name, owner) for uplink in uplinks for owner in uplink.owners]
    owned = [
        (f'"{name}" . {model.mac_of(owner.address)}', owner)
        for name, owner in sorted(pairs, key=lambda pair: (pair[0], int(pair[1].address)))
    ]
    hosts = sorted((uplink.name, uplink.host) for uplink in uplinks if uplink.host is not None)
    return _RULES.format(
        ports=_elements([f'"{name}"' for name in sorted(closed)]),
        hosts=_elements([f'"{name}" . {host}' for name, host in hosts]),
        bridges=_elements([f'"{name}" . {model.mac_of(host)}' for name, host in hosts]),
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
  set hosts {{ type ifname . ipv4_addr;{hosts} }}
  set bridges {{ type ifname . ether_addr;{bridges} }}
  counter dropped_spoofed {{ }}
  counter dropped_protocol {{ }}
  counter dropped_host {{ }}
  chain incoming {{
    type filter hook prerouting priority -300; policy accept;
    iifname != @ports accept
    ether type arp iifname . arp daddr ip @hosts counter name dropped_host drop
    ether type ip iifname . ether saddr . ip saddr @own accept
    ether type ip iifname . ether saddr @gateways accept
    ether type arp arp htype 1 arp ptype ip iifname . ether saddr . arp saddr ip @own \
iifname . arp saddr ether . arp saddr ip @own accept
    ether type {{ ip, arp }} counter name dropped_spoofed drop
    counter name dropped_protocol drop
  }}
  chain outgoing {{
    type filter hook postrouting priority -300; policy accept;
    oifname . ether saddr @bridges drop
    ether type arp oifname . arp daddr ip @hosts drop
    ether type arp oifname . arp saddr ip @hosts drop
  }}
}}
"""
