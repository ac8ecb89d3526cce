"""The gateway's rule set and routes, written out by hand."""

from __future__ import annotations

import dataclasses
import ipaddress

from piavpn.gateway import routing, rules
from piavpn.gateway.slots import SLOTS
from piavpn.net.routing import Route, Rule

RULESET = """\
table inet piavpn
delete table inet piavpn
table inet piavpn {
  map current { type ifname : mark; elements = { "vpn0" : 0x100, "lo" : 0x100, \
"piaw0" : 0x100, "piaw1" : 0x100 }; }
  map resolvers { type mark . ipv4_addr : ipv4_addr; elements = { \
0x100 . 192.0.2.53 : 10.0.0.243, 0x100 . 192.0.2.54 : 10.0.0.242 }; }
  map forwarded { type inet_proto . inet_service : ipv4_addr . inet_service; }
  set exits { type ipv4_addr; }
  counter dropped_invalid { }
  counter dropped_forward { }
  counter dropped_input { }
  counter dropped_ipv6 { }
  counter dropped_astray { }
  counter dropped_proxied { }
  chain questions {
    type route hook output priority mangle; policy accept;
    ip daddr 192.0.2.52/30 ct mark 0 ct mark set oifname map @current
    ip daddr 192.0.2.52/30 meta mark set ct mark
  }
  chain proxied {
    type route hook output priority mangle; policy accept;
    meta skuid 65533 ct mark 0 oifname { "piaw0", "piaw1" } ct mark set oifname map @current
    meta skuid 65533 ct mark & 0xf00 != 0 meta mark set ct mark
  }
  chain answerers {
    type nat hook output priority -100; policy accept;
    ip daddr 192.0.2.52/30 dnat ip to ct mark . ip daddr map @resolvers
  }
  chain slots {
    type filter hook prerouting priority mangle; policy accept;
    meta nfproto ipv6 iifname != "lo" counter name dropped_ipv6 drop
    iifname "piaw0" ct state new ct mark set 0x100
    iifname "piaw1" ct state new ct mark set 0x200
    iifname "vpn0" ct direction original ct mark 0 ct mark set iifname map @current
    iifname "vpn0" ct mark != 0 meta mark set ct mark
  }
  chain inbound {
    type nat hook prerouting priority dstnat; policy accept;
    iifname { "piaw0", "piaw1" } dnat ip to meta l4proto . th dport map @forwarded
    iifname "vpn0" ip daddr @exits dnat ip to meta l4proto . th dport map @forwarded
  }
  chain hairpin {
    type filter hook prerouting priority -95; policy accept;
    iifname "vpn0" ct direction original ct status dnat ct mark set 0x400
    iifname "vpn0" ct mark 0x400 meta mark set 0x400
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname { "piaw0", "piaw1" } jump own
    iifname "vpn0" meta l4proto { tcp, udp } th dport 53 accept
    iifname "vpn0" jump own
  }
  chain own {
    ct state established,related accept
    icmp type echo-request accept
    counter name dropped_input drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid counter name dropped_invalid drop
    iifname "vpn0" oifname { "piaw0", "piaw1" } tcp flags syn tcp option maxseg size set rt mtu
    iifname "vpn0" oifname { "piaw0", "piaw1" } accept
    iifname { "piaw0", "piaw1" } oifname "vpn0" ct state established,related accept
    iifname { "piaw0", "piaw1" } oifname "vpn0" ct status dnat accept
    oifname "vpn0" ct mark 0x400 accept
    counter name dropped_forward
  }
  chain output {
    type filter hook output priority filter; policy accept;
    meta nfproto ipv6 oifname != "lo" counter name dropped_ipv6 drop
    oifname "vpn0" icmp type redirect drop
    meta skuid 65533 goto proxy
    oifname "piaw0" ct mark set 0x100
    oifname "piaw1" ct mark set 0x200
    oifname != { "lo", "vpn0", "piaw0", "piaw1" } ct mark & 0xf00 != 0 \
counter name dropped_astray drop
  }
  chain proxy {
    ct direction reply accept
    oifname "lo" meta l4proto { tcp, udp } th dport 53 accept
    ip daddr != { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } oifname { "piaw0", "piaw1" } accept
    meta l4proto tcp counter name dropped_proxied reject with tcp reset
    counter name dropped_proxied drop
  }
  chain leaving {
    type filter hook postrouting priority filter; policy accept;
    oifname { "piaw0", "piaw1" } ip daddr 192.0.2.52/30 drop
    oifname != { "piaw0", "piaw1" } ct original ip daddr 192.0.2.52/30 \
counter name dropped_astray drop
  }
  chain outnat {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { "piaw0", "piaw1" } masquerade
    oifname "vpn0" ct mark 0x400 masquerade
  }
}
"""


TWO = (ipaddress.IPv4Address("10.0.0.243"), ipaddress.IPv4Address("10.0.0.242"))
ONE = (ipaddress.IPv4Address("10.0.0.244"),)


def test_the_rule_set_of_slot_zero_is_this() -> None:
    assert rules.ruleset(SLOTS[0], {SLOTS[0]: TWO}) == RULESET


def test_without_a_session_nobody_answers_questions() -> None:
    assert "map resolvers { type mark . ipv4_addr : ipv4_addr; }" in rules.ruleset(SLOTS[0], {})


def test_a_switch_changes_where_new_connections_and_questions_go_and_nothing_else() -> None:
    assert (
        rules.selection(SLOTS[1], {SLOTS[0]: TWO, SLOTS[1]: ONE})
        == """\
flush map inet piavpn current
add element inet piavpn current { "vpn0" : 0x200, "lo" : 0x200, "piaw0" : 0x200, "piaw1" : 0x200 }
flush map inet piavpn resolvers
add element inet piavpn resolvers { 0x100 . 192.0.2.53 : 10.0.0.243, \
0x100 . 192.0.2.54 : 10.0.0.242, 0x200 . 192.0.2.53 : 10.0.0.244, 0x200 . 192.0.2.54 : 10.0.0.244 }
"""
    )


def test_a_selection_without_sessions_leaves_no_resolver() -> None:
    assert (
        rules.selection(SLOTS[0], {})
        == """\
flush map inet piavpn current
add element inet piavpn current { "vpn0" : 0x100, "lo" : 0x100, "piaw0" : 0x100, "piaw1" : 0x100 }
flush map inet piavpn resolvers
"""
    )


QUESTIONS = ipaddress.IPv4Network("192.0.2.52/30")
RULES = (
    Rule(100, 100, oif="piaw0"),
    Rule(100, 101, oif="piaw1"),
    Rule(105, 254, fwmark=0x400, mask=0xF00),
    Rule(110, 100, fwmark=0x100, mask=0xF00),
    Rule(110, 101, fwmark=0x200, mask=0xF00),
    Rule(115, 102, to=QUESTIONS),
    Rule(117, 103, uid=65533),
    Rule(120, None, iif="vpn0"),
)
BACKSTOPS = (
    Route(table=100, metric=4_000_000_000, kind="unreachable"),
    Route(table=101, metric=4_000_000_000, kind="unreachable"),
    Route(table=103, metric=4_000_000_000, kind="unreachable"),
    Route(QUESTIONS, dev="lo", table=102),
)


def test_without_a_session_each_slots_table_ends_unreachable() -> None:
    assert routing.wanted(()) == (BACKSTOPS, RULES)


def test_a_slot_with_a_session_has_a_way_in_front_of_its_backstop() -> None:
    assert routing.wanted({"piaw0"}) == (
        (Route(dev="piaw0", table=100), Route(dev="piaw0", table=103, metric=1), *BACKSTOPS),
        RULES,
    )


def test_no_route_of_the_gateway_is_in_the_main_table() -> None:
    found, _ = routing.wanted({"piaw0", "piaw1"})
    assert {route.table for route in found} == {100, 101, 102, 103}


def test_a_slot_is_a_link_a_mark_and_a_table() -> None:
    assert [dataclasses.astuple(slot) for slot in SLOTS] == [
        ("piaw0", 0x100, 100),
        ("piaw1", 0x200, 101),
    ]
