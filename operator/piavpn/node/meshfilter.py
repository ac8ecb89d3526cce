"""The filter around the nodes' WireGuard link. Pure.

Nothing but VXLAN goes by the link, and VXLAN to its addresses by no other one: neither in clear to
another node, nor from anybody who only says that he is one.
"""

from __future__ import annotations

from piavpn.api import names
from piavpn.node import mesh

TABLE = "inet piavpn_nodes"


def ruleset() -> str:
    """Return the filter as text for nft; it replaces the table in one transaction."""
    link, prefix = names.NODES_LINK, mesh.PREFIX
    drop = "counter name dropped drop"
    return f"""\
table {TABLE}
delete table {TABLE}
table {TABLE} {{
  counter dropped {{ }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{link}" udp dport {names.OVERLAY_PORT} accept
    iifname "{link}" {drop}
    iifname != "lo" ip6 daddr {prefix} {drop}
  }}
  chain forwarded {{
    type filter hook forward priority filter; policy accept;
    iifname "{link}" {drop}
    oifname "{link}" {drop}
    ip6 daddr {prefix} {drop}
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    oifname "{link}" udp dport {names.OVERLAY_PORT} accept
    oifname "{link}" {drop}
    oifname != "lo" ip6 daddr {prefix} {drop}
  }}
}}
"""
