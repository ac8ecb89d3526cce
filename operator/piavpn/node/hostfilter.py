"""The node's own filter around the VPNs' bridges. Pure.

From a bridge the node takes nothing but a gateway's calls of the bootstrap proxy and replies, and
it forwards nothing between a bridge and anything else. Frames of bridges come from nodes alone,
and no pod sends such to a node: on its way its address could become that of its own node.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable

from piavpn.api import names

TABLE = "inet piavpn_host"

_HEAD = """\
table inet piavpn_host
delete table inet piavpn_host
table inet piavpn_host {
  counter dropped_input { }
  counter dropped_forward { }
"""
_NODES = """\
  counter dropped_overlay { }
  set nodes { type ipv4_addr; elements = { %s }; }
"""
_OVERLAY = f"udp dport {names.OVERLAY_PORT}"
_DROP_OVERLAY = "counter name dropped_overlay drop"


@dataclasses.dataclass(frozen=True, slots=True)
class Bridge:
    """A VPN's bridge on this node."""

    name: str
    proxy: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None
    """The gateway's address and the proxy's; None while no gateway may use a proxy here."""


def ruleset(bridges: Iterable[Bridge], nodes: Collection[ipaddress.IPv4Address] = ()) -> str:
    """Return the filter as text for nft; it replaces the table in one transaction.

    Traffic within a bridge comes to the forward hook where br_netfilter is on, and passes.

    Args:
        bridges: the VPNs' on this node.
        nodes: all nodes' own addresses, where bridges of any nodes are joined; else none.
    """
    ordered = sorted(bridges, key=lambda bridge: bridge.name)
    incoming = [line for bridge in ordered for line in _input(bridge)]
    forwarded = [line for bridge in ordered for line in _forward(bridge)]
    head = _HEAD
    if nodes:
        head += _NODES % ", ".join(map(str, sorted(nodes)))
        strange = ("ip saddr != @nodes", f'iifname != "{names.NODES_LINK}" meta nfproto ipv6')
        incoming += [f"{source} {_OVERLAY} {_DROP_OVERLAY}" for source in strange]
        to_node = "ct direction original ip daddr @nodes"
        forwarded.append(f"{to_node} {_OVERLAY} {_DROP_OVERLAY}")
    return (
        head
        + _chain("input", "input", incoming)
        + _chain("forwarded", "forward", forwarded)
        + "}\n"
    )


def _input(bridge: Bridge) -> list[str]:
    lines = [f'iifname "{bridge.name}" ct direction reply ct state established,related accept']
    if bridge.proxy is not None:
        gateway, host = bridge.proxy
        to_proxy = f"ip daddr {host} tcp dport {names.PROXY_PORT}"
        lines.append(f'iifname "{bridge.name}" ip saddr {gateway} {to_proxy} accept')
        lines.append(
            f'iifname != {{ "{bridge.name}", "lo" }} {to_proxy} counter name dropped_input drop'
        )
    lines.append(f'iifname "{bridge.name}" counter name dropped_input drop')
    return lines


def _forward(bridge: Bridge) -> list[str]:
    return [
        f'iifname "{bridge.name}" oifname "{bridge.name}" accept',
        f'iifname "{bridge.name}" counter name dropped_forward drop',
        f'oifname "{bridge.name}" counter name dropped_forward drop',
    ]


def _chain(name: str, hook: str, lines: list[str]) -> str:
    rules = "".join(f"    {line}\n" for line in lines)
    head = f"    type filter hook {hook} priority filter; policy accept;\n"
    return f"  chain {name} {{\n{head}{rules}  }}\n"
