from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from piavpn.node import outlet
from piavpn.node.outlet import Inside, Outlet

INSIDE = Inside(
    cluster=(IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16")),
    nodes=(IPv4Address("192.168.1.4"),),
    services=(IPv4Network("10.96.0.0/12"),),
)
LAN = (IPv4Network("192.168.1.0/24"), IPv4Network("192.168.7.9/32"))
OUTLETS = [Outlet("veth6", None), Outlet("veth5", IPv4Address("10.244.0.5"), LAN)]


def test_a_pod_sends_in_its_own_name_and_no_questions_and_nothing_to_the_outside() -> None:
    assert outlet.rulesets(OUTLETS, INSIDE) == {
        "netdev piavpn_outlets": """\
table netdev piavpn_outlets
delete table netdev piavpn_outlets
table netdev piavpn_outlets {
  set own { type ifname . ipv4_addr; elements = { "veth5" . 10.244.0.5 }; }
  counter probe_ipv6 { }
  counter dropped_ipv6 { }
  counter dropped_protocol { }
  counter dropped_source { }
  counter dropped_dns { }
  chain incoming {
    type filter hook ingress devices = { "veth5", "veth6" } priority -150; policy accept;
    meta protocol arp accept
    ip6 daddr 2001:db8::/32 counter name probe_ipv6 drop
    meta protocol ip6 counter name dropped_ipv6 drop
    meta protocol != ip counter name dropped_protocol drop
    iifname . ip saddr != @own counter name dropped_source drop
    meta l4proto { tcp, udp } th dport { 53, 853 } counter name dropped_dns drop
  }
}
""",
        "inet piavpn_outlets": """\
table inet piavpn_outlets
delete table inet piavpn_outlets
table inet piavpn_outlets {
  set pods { type ipv4_addr; elements = { 10.244.0.5 }; }
  set cluster { type ipv4_addr; flags interval; elements = { 10.96.0.0/12, 10.244.0.0/16 }; }
  set nodes { type ipv4_addr; elements = { 192.168.1.4 }; }
  set services { type ipv4_addr; flags interval; elements = { 10.96.0.0/12 }; }
  set bypass { type ipv4_addr . ipv4_addr; flags interval; elements = { \
10.244.0.5 . 192.168.1.0/24, 10.244.0.5 . 192.168.7.9/32 }; }
  counter probe_outside { }
  counter dropped_outside { }
  counter dropped_untranslated { }
  counter dropped_translated_dns { }
  chain outgoing {
    ip saddr != @pods accept
    ip daddr @services counter name dropped_untranslated drop
    ip saddr @pods ct direction original meta l4proto { tcp, udp } th dport { 53, 853 } \
counter name dropped_translated_dns drop
    ip daddr @cluster accept
    ip saddr . ip daddr @bypass accept
    ct direction reply accept
    ct original ip daddr @cluster ip daddr @nodes accept
    ip saddr @pods ip daddr 192.0.2.0/24 counter name probe_outside drop
    ip saddr @pods counter name dropped_outside drop
  }
  chain forwarded {
    type filter hook forward priority filter + 10; policy accept;
    jump outgoing
  }
  chain leaving {
    type filter hook postrouting priority filter; policy accept;
    jump outgoing
  }
}
""",
    }


def test_the_order_in_which_links_come_does_not_matter() -> None:
    assert outlet.rulesets(OUTLETS, INSIDE) == outlet.rulesets(OUTLETS[::-1], INSIDE)


@pytest.mark.parametrize(
    ("alias", "read"),
    [
        ("piavpn.dev/cluster-link/10.244.0.5", Outlet("veth5", IPv4Address("10.244.0.5"))),
        (
            "piavpn.dev/cluster-link/10.244.0.5+192.168.1.0/24+192.168.7.9/32",
            Outlet("veth5", IPv4Address("10.244.0.5"), LAN),
        ),
        ("piavpn.dev/cluster-link/nonsense", Outlet("veth5", None)),
        ("piavpn.dev/cluster-link/10.244.0.5+nonsense", Outlet("veth5", None)),
        ("piavpn.dev/cluster-link/cut-off", Outlet("veth5", None)),
        # A bridge: that of a VPN of this name.
        ("piavpn.dev/cut-off", None),
        ("piavpn.dev/service/10.100.0.10", None),
        ("", None),
    ],
)
def test_a_links_alias_says_what_it_is(alias: str, read: Outlet | None) -> None:
    assert outlet.read("veth5", alias) == read


def test_an_alias_is_read_as_it_was_given() -> None:
    address = IPv4Address("10.244.0.5")
    assert outlet.read("veth5", outlet.alias(address)) == Outlet("veth5", address)


def test_the_longest_alias_that_the_crds_allow_is_one_that_the_kernel_takes() -> None:
    most = [IPv4Network(f"192.168.{100 + i}.128/25") for i in range(8)]
    assert len(outlet.alias(IPv4Address("192.168.100.100"), most)) <= 255
