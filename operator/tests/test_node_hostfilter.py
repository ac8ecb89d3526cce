from __future__ import annotations

from ipaddress import IPv4Address

from piavpn.node import hostfilter
from piavpn.node.hostfilter import Bridge

HOME = Bridge("br-home", (IPv4Address("10.100.0.2"), IPv4Address("10.100.0.1")))
AWAY = Bridge("br-away", None)


def test_the_gateway_alone_reaches_the_proxy_and_nothing_is_forwarded() -> None:
    assert (
        hostfilter.ruleset([HOME, AWAY])
        == """\
table inet piavpn_host
delete table inet piavpn_host
table inet piavpn_host {
  counter dropped_input { }
  counter dropped_forward { }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "br-away" ct direction reply ct state established,related accept
    iifname "br-away" counter name dropped_input drop
    iifname "br-home" ct direction reply ct state established,related accept
    iifname "br-home" ip saddr 10.100.0.2 ip daddr 10.100.0.1 tcp dport 8888 accept
    iifname != { "br-home", "lo" } ip daddr 10.100.0.1 tcp dport 8888 counter name dropped_input drop
    iifname "br-home" counter name dropped_input drop
  }
  chain forwarded {
    type filter hook forward priority filter; policy accept;
    iifname "br-away" oifname "br-away" accept
    iifname "br-away" counter name dropped_forward drop
    oifname "br-away" counter name dropped_forward drop
    iifname "br-home" oifname "br-home" accept
    iifname "br-home" counter name dropped_forward drop
    oifname "br-home" counter name dropped_forward drop
  }
}
"""  # noqa: E501 - the rule set as it is
    )


def test_the_order_in_which_bridges_come_does_not_matter() -> None:
    assert hostfilter.ruleset([HOME, AWAY]) == hostfilter.ruleset([AWAY, HOME])


def test_frames_of_bridges_come_from_nodes_alone_and_no_pod_sends_such_to_a_node() -> None:
    nodes = [IPv4Address("192.0.2.8"), IPv4Address("192.0.2.7")]
    assert (
        hostfilter.ruleset([AWAY], nodes)
        == """\
table inet piavpn_host
delete table inet piavpn_host
table inet piavpn_host {
  counter dropped_input { }
  counter dropped_forward { }
  counter dropped_overlay { }
  set nodes { type ipv4_addr; elements = { 192.0.2.7, 192.0.2.8 }; }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "br-away" ct direction reply ct state established,related accept
    iifname "br-away" counter name dropped_input drop
    ip saddr != @nodes udp dport 14789 counter name dropped_overlay drop
    iifname != "piavpn-nodes" meta nfproto ipv6 udp dport 14789 counter name dropped_overlay drop
  }
  chain forwarded {
    type filter hook forward priority filter; policy accept;
    iifname "br-away" oifname "br-away" accept
    iifname "br-away" counter name dropped_forward drop
    oifname "br-away" counter name dropped_forward drop
    ct direction original ip daddr @nodes udp dport 14789 counter name dropped_overlay drop
  }
}
"""
    )
