"""The filter on the node's end of each service pod's link to the cluster, where no app reaches.

A raw packet socket walks past the lock in the pod. Here its packets are seen again: what is never
right is dropped as it comes in, and what is forwarded to anywhere outside the cluster, unless it
answers a connection that came from there. The latter is told by the pod's address, which the
former makes sure of: with a bridge in between, the pod's own link is not what forwarding sees.
That a Service leads out of the cluster shows only here, too, after its address was translated.
Pure.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable

from piavpn.node import guard

PORTS_TABLE = "netdev piavpn_outlets"
FORWARD_TABLE = "inet piavpn_outlets"
TABLES = (PORTS_TABLE, FORWARD_TABLE)
PROBES = ((PORTS_TABLE, "probe_ipv6"), (FORWARD_TABLE, "probe_outside"))
"""Counters, by table, of what the leak test sends: one for each part of the filter."""

_ALIAS = f"{guard.ALIAS}cluster-link/"
CUT_OFF = f"{_ALIAS}cut-off"
"""Alias of a link that the agent has shut: it says so to the next agent, too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outlet:
    """The node's end of a pod's link to the cluster."""

    name: str
    address: ipaddress.IPv4Address | None
    """The pod's; None where nothing may pass."""
    bypass: tuple[ipaddress.IPv4Network, ...] = ()
    """What the pod may reach outside the cluster."""


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """What is not outside the cluster."""

    cluster: tuple[ipaddress.IPv4Network, ...]
    """Pod and service CIDRs."""
    nodes: tuple[ipaddress.IPv4Address, ...]
    """Reached as endpoints of Services alone."""
    services: tuple[ipaddress.IPv4Network, ...] = ()
    """The service CIDRs, where they are known apart: no machine has an address in them."""


def alias(address: ipaddress.IPv4Address, bypass: Iterable[ipaddress.IPv4Network] = ()) -> str:
    """Return the alias of an outlet: it says whose it is, for whoever finds it.

    The kernel takes 255 characters: enough for eight networks, which is what the CRDs allow.
    """
    return "+".join((f"{_ALIAS}{address}", *map(str, bypass)))


def read(name: str, link_alias: str) -> Outlet | None:
    """Return the outlet that a link is by its alias; None where it is none."""
    if not link_alias.startswith(_ALIAS):
        return None
    address, *bypass = link_alias.removeprefix(_ALIAS).split("+")
    try:
        networks = tuple(ipaddress.IPv4Network(network) for network in bypass)
        return Outlet(name, ipaddress.IPv4Address(address), networks)
    except ValueError:
        return Outlet(name, None)


def rulesets(outlets: Collection[Outlet], inside: Inside) -> dict[str, str]:
    """Return the filter as text for nft, by table; each text replaces its table."""
    ordered = sorted(outlets, key=lambda outlet: outlet.name)
    open_ = [outlet for outlet in ordered if outlet.address is not None]
    return {
        PORTS_TABLE: _PORTS.format(
            devices=", ".join(f'"{outlet.name}"' for outlet in ordered),
            own=_elements(f'"{outlet.name}" . {outlet.address}' for outlet in open_),
        ),
        FORWARD_TABLE: _FORWARD.format(
            pods=_elements(str(address) for address in sorted({o.address for o in open_})),  # type: ignore[type-var]
            cluster=_elements(str(network) for network in sorted(inside.cluster)),
            nodes=_elements(str(address) for address in sorted(inside.nodes)),
            services=_elements(str(network) for network in sorted(inside.services)),
            bypass=_elements(f"{o.address} . {network}" for o in open_ for network in o.bypass),
        ),
    }


def _elements(elements: Iterable[str]) -> str:
    joined = ", ".join(elements)
    return f" elements = {{ {joined} }};" if joined else ""


# What the leak test sends to documentation addresses is dropped where all else would be, and
# counted apart.
_PORTS = """\
table netdev piavpn_outlets
delete table netdev piavpn_outlets
table netdev piavpn_outlets {{
  set own {{ type ifname . ipv4_addr;{own} }}
  counter probe_ipv6 {{ }}
  counter dropped_ipv6 {{ }}
  counter dropped_protocol {{ }}
  counter dropped_source {{ }}
  counter dropped_dns {{ }}
  chain incoming {{
    type filter hook ingress devices = {{ {devices} }} priority -150; policy accept;
    meta protocol arp accept
    ip6 daddr 2001:db8::/32 counter name probe_ipv6 drop
    meta protocol ip6 counter name dropped_ipv6 drop
    meta protocol != ip counter name dropped_protocol drop
    iifname . ip saddr != @own counter name dropped_source drop
    meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} counter name dropped_dns drop
  }}
}}
"""

# A Service's address that is still there when a packet is forwarded was translated by nobody, as
# before kube-proxy has set its rules: it would go where all strange addresses go, out of the node.
# Not before kube-proxy itself has refused Services without endpoints, hence the priority.
#
# A Service may hide a resolver behind another port, which shows once its address is translated.
#
# Where kube-proxy balances by IPVS, what a pod sends to a Service is taken as for the node itself,
# and sent on from there: it is never forwarded. So all is judged once more as it leaves, while it
# still has the pod's address.
_FORWARD = """\
table inet piavpn_outlets
delete table inet piavpn_outlets
table inet piavpn_outlets {{
  set pods {{ type ipv4_addr;{pods} }}
  set cluster {{ type ipv4_addr; flags interval;{cluster} }}
  set nodes {{ type ipv4_addr;{nodes} }}
  set services {{ type ipv4_addr; flags interval;{services} }}
  set bypass {{ type ipv4_addr . ipv4_addr; flags interval;{bypass} }}
  counter probe_outside {{ }}
  counter dropped_outside {{ }}
  counter dropped_untranslated {{ }}
  counter dropped_translated_dns {{ }}
  chain outgoing {{
    ip saddr != @pods accept
    ip daddr @services counter name dropped_untranslated drop
    ip saddr @pods ct direction original meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} \
counter name dropped_translated_dns drop
    ip daddr @cluster accept
    ip saddr . ip daddr @bypass accept
    ct direction reply accept
    ct original ip daddr @cluster ip daddr @nodes accept
    ip saddr @pods ip daddr 192.0.2.0/24 counter name probe_outside drop
    ip saddr @pods counter name dropped_outside drop
  }}
  chain forwarded {{
    type filter hook forward priority filter + 10; policy accept;
    jump outgoing
  }}
  chain leaving {{
    type filter hook postrouting priority filter; policy accept;
    jump outgoing
  }}
}}
"""
