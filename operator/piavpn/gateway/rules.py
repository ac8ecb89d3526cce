"""The gateway's own nftables rules. Pure: text.

Loaded before anything else and independent of links and sessions: rules go by link names, so they
hold from the first packet of a link that is yet to come. What may leave by eth0 is not their
subject: the node agent's lock (`inet piavpn_lock`) holds that.
"""

from __future__ import annotations

from piavpn.api import names
from piavpn.gateway.slots import MARK_MASK, SLOTS, Slot

TABLE = "inet piavpn"


def ruleset(current: Slot) -> str:
    """Return the transaction that replaces the whole table.

    Args:
        current: the slot that new connections of the bridge take; established ones stay on theirs.
    """
    return f"""\
table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map current {{ type ifname : mark; elements = {{ "{names.POD_LINK}" : {current.mark:#x} }}; }}
  map forwarded {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  counter dropped_invalid {{ }}
  counter dropped_forward {{ }}
  counter dropped_input {{ }}
  counter dropped_ipv6 {{ }}
  counter dropped_astray {{ }}
  chain slots {{
    type filter hook prerouting priority mangle; policy accept;
    meta nfproto ipv6 iifname != "lo" counter name dropped_ipv6 drop
{_entry_marks()}
    iifname "{names.POD_LINK}" ct direction original ct mark 0 ct mark set iifname map @current
    iifname "{names.POD_LINK}" ct mark != 0 meta mark set ct mark
  }}
  chain inbound {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname {_TUNNELS} dnat ip to meta l4proto . th dport map @forwarded
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {_TUNNELS} jump own
    iifname "{names.POD_LINK}" meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname "{names.POD_LINK}" jump own
  }}
  chain own {{
    ct state established,related accept
    icmp type echo-request accept
    counter name dropped_input drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state invalid counter name dropped_invalid drop
    iifname "{names.POD_LINK}" oifname {_TUNNELS} tcp flags syn tcp option maxseg size set rt mtu
    iifname "{names.POD_LINK}" oifname {_TUNNELS} accept
    iifname {_TUNNELS} oifname "{names.POD_LINK}" ct state established,related accept
    iifname {_TUNNELS} oifname "{names.POD_LINK}" ct status dnat accept
    counter name dropped_forward
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    meta nfproto ipv6 oifname != "lo" counter name dropped_ipv6 drop
{_own_marks()}
    oifname != {_INSIDE} ct mark & {MARK_MASK:#x} != 0 counter name dropped_astray drop
  }}
  chain outnat {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname {_TUNNELS} masquerade
  }}
}}
"""


_TUNNELS = "{ " + ", ".join(f'"{slot.link}"' for slot in SLOTS) + " }"
_INSIDE = (
    "{ " + ", ".join(f'"{link}"' for link in ("lo", names.POD_LINK, *names.TUNNEL_LINKS)) + " }"
)


def _entry_marks() -> str:
    """Return the rules by which a connection from the Internet is answered by its own slot."""
    return "\n".join(
        f'    iifname "{slot.link}" ct state new ct mark set {slot.mark:#x}' for slot in SLOTS
    )


def _own_marks() -> str:
    """Return the rules that mark the gateway's own connections through a slot.

    What the kernel itself says in such a connection, as that a port is closed, is bound to no link
    and would go by the main table: the mark tells it from what may.
    """
    return "\n".join(f'    oifname "{slot.link}" ct mark set {slot.mark:#x}' for slot in SLOTS)
