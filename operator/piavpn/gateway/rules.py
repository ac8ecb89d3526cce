"""The gateway's own nftables rules. Pure: text.

Loaded before anything else and independent of links and sessions: rules go by link names, so they
hold from the first packet of a link that is yet to come. What may leave by eth0 is not their
subject: the node agent's lock (`inet piavpn_lock`) holds that.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping, Sequence

from piavpn.api import names
from piavpn.gateway import dns
from piavpn.gateway.slots import HAIRPIN_MARK, MARK_MASK, SLOTS, Slot

TABLE = "inet piavpn"
DROPPED = "dropped_"
"""How the names of the counters of what is dropped begin."""
Resolvers = Mapping[Slot, Sequence[ipaddress.IPv4Address]]
"""Whom to ask by each slot: at least one for a slot that has a session."""


def ruleset(current: Slot, resolvers: Resolvers) -> str:
    """Return the transaction that replaces the whole table.

    Args:
        current: the slot that new connections take; established ones stay on theirs.
        resolvers: who answers questions for names, by slot.
    """
    return f"""\
table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map current {{ type ifname : mark; elements = {{ {_current(current)} }}; }}
  map resolvers {{ type mark . ipv4_addr : ipv4_addr;{_initial(resolvers)} }}
  map forwarded {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  set exits {{ type ipv4_addr; }}
  counter dropped_invalid {{ }}
  counter dropped_forward {{ }}
  counter dropped_input {{ }}
  counter dropped_ipv6 {{ }}
  counter dropped_astray {{ }}
  counter dropped_proxied {{ }}
  chain questions {{
    type route hook output priority mangle; policy accept;
    ip daddr {dns.UPSTREAM_NETWORK} ct mark 0 ct mark set oifname map @current
    ip daddr {dns.UPSTREAM_NETWORK} meta mark set ct mark
  }}
  chain proxied {{
    type route hook output priority mangle; policy accept;
    meta skuid {names.HTTP_PROXY_USER} ct mark 0 oifname {_TUNNELS} \
ct mark set oifname map @current
    meta skuid {names.HTTP_PROXY_USER} ct mark & {MARK_MASK:#x} != 0 meta mark set ct mark
  }}
  chain answerers {{
    type nat hook output priority -100; policy accept;
    ip daddr {dns.UPSTREAM_NETWORK} dnat ip to ct mark . ip daddr map @resolvers
  }}
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
    iifname "{names.POD_LINK}" ip daddr @exits dnat ip to meta l4proto . th dport map @forwarded
  }}
  chain hairpin {{
    type filter hook prerouting priority -95; policy accept;
    iifname "{names.POD_LINK}" ct direction original ct status dnat ct mark set {HAIRPIN_MARK:#x}
    iifname "{names.POD_LINK}" ct mark {HAIRPIN_MARK:#x} meta mark set {HAIRPIN_MARK:#x}
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
    oifname "{names.POD_LINK}" ct mark {HAIRPIN_MARK:#x} accept
    counter name dropped_forward
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    meta nfproto ipv6 oifname != "lo" counter name dropped_ipv6 drop
    oifname "{names.POD_LINK}" icmp type redirect drop
    meta skuid {names.HTTP_PROXY_USER} goto proxy
{_own_marks()}
    oifname != {_INSIDE} ct mark & {MARK_MASK:#x} != 0 {_ASTRAY}
  }}
  chain proxy {{
    ct direction reply accept
    oifname "lo" meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr != {_PRIVATE} oifname {_TUNNELS} accept
    meta l4proto tcp counter name dropped_proxied reject with tcp reset
    counter name dropped_proxied drop
  }}
  chain leaving {{
    type filter hook postrouting priority filter; policy accept;
    oifname {_TUNNELS} ip daddr {dns.UPSTREAM_NETWORK} drop
    oifname != {_TUNNELS} ct original ip daddr {dns.UPSTREAM_NETWORK} {_ASTRAY}
  }}
  chain outnat {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname {_TUNNELS} masquerade
    oifname "{names.POD_LINK}" ct mark {HAIRPIN_MARK:#x} masquerade
  }}
}}
"""


def selection(current: Slot, resolvers: Resolvers) -> str:
    """Return the transaction that makes this slot the current one, and changes nothing else."""
    answerers = _answerers(resolvers)
    change = f"""\
flush map {TABLE} current
add element {TABLE} current {{ {_current(current)} }}
flush map {TABLE} resolvers
"""
    if answerers:
        change += f"add element {TABLE} resolvers {{ {answerers} }}\n"
    return change


_PRIVATE = (
    "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
    "192.168.0.0/16, 224.0.0.0/3 }"
)
"""What the HTTP proxy has no business with: the cluster, its nodes, and PIA's own services."""
_ASTRAY = "counter name dropped_astray drop"
_TUNNELS = "{ " + ", ".join(f'"{slot.link}"' for slot in SLOTS) + " }"
_INSIDE = (
    "{ " + ", ".join(f'"{link}"' for link in ("lo", names.POD_LINK, *names.TUNNEL_LINKS)) + " }"
)


def _current(slot: Slot) -> str:
    """Return where new connections go: the bridge's, our own questions, and the HTTP proxy's."""
    links = (names.POD_LINK, "lo", *names.TUNNEL_LINKS)
    return ", ".join(f'"{link}" : {slot.mark:#x}' for link in links)


def _initial(resolvers: Resolvers) -> str:
    answerers = _answerers(resolvers)
    return f" elements = {{ {answerers} }};" if answerers else ""


def _answerers(resolvers: Resolvers) -> str:
    """Return the real address behind each upstream, by the slot that the question goes by."""
    return ", ".join(
        f"{slot.mark:#x} . {upstream} : {resolver}"
        for slot, addresses in resolvers.items()
        for upstream, resolver in zip(dns.UPSTREAMS, itertools.cycle(addresses), strict=False)
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
