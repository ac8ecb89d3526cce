from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from piavpn.node import guard
from piavpn.node.guard import Owner, Port, Uplink
from piavpn.node.model import Role

SERVICE = Owner(Role.SERVICE, IPv4Address("10.100.0.10"))
GATEWAY = Owner(Role.GATEWAY, IPv4Address("10.100.0.2"))


def test_each_port_speaks_for_its_own_addresses_alone_and_a_gateway_forwards() -> None:
    ports = [
        Port("vethb", SERVICE),
        Port("vetha", GATEWAY),
        Port("vethc", None),
    ]
    assert (
        guard.ruleset(ports)
        == """\
table bridge piavpn_ports
delete table bridge piavpn_ports
table bridge piavpn_ports {
  set ports { type ifname; elements = { "vetha", "vethb", "vethc" }; }
  set own { type ifname . ether_addr . ipv4_addr; elements = { \
"vetha" . 02:76:0a:64:00:02 . 10.100.0.2, "vethb" . 02:76:0a:64:00:0a . 10.100.0.10 }; }
  set gateways { type ifname . ether_addr; elements = { "vetha" . 02:76:0a:64:00:02 }; }
  set hosts { type ifname . ipv4_addr; }
  set bridges { type ifname . ether_addr; }
  counter dropped_spoofed { }
  counter dropped_protocol { }
  counter dropped_host { }
  chain incoming {
    type filter hook prerouting priority -300; policy accept;
    iifname != @ports accept
    ether type arp iifname . arp daddr ip @hosts counter name dropped_host drop
    ether type ip iifname . ether saddr . ip saddr @own accept
    ether type ip iifname . ether saddr @gateways accept
    ether type arp arp htype 1 arp ptype ip iifname . ether saddr . arp saddr ip @own \
iifname . arp saddr ether . arp saddr ip @own accept
    ether type { ip, arp } counter name dropped_spoofed drop
    counter name dropped_protocol drop
  }
  chain outgoing {
    type filter hook postrouting priority -300; policy accept;
    oifname . ether saddr @bridges drop
    ether type arp oifname . arp daddr ip @hosts drop
    ether type arp oifname . arp saddr ip @hosts drop
  }
}
"""
    )


def test_a_link_to_other_nodes_speaks_for_the_pods_there_and_for_no_node() -> None:
    far = Owner(Role.SERVICE, IPv4Address("10.100.0.11"))
    uplink = Uplink("vx-home", IPv4Address("10.100.0.1"), (far, GATEWAY))
    text = guard.ruleset([Port("vethb", SERVICE)], [uplink])
    for line in (
        """\
  set ports { type ifname; elements = { "vethb", "vx-home" }; }
""",
        """\
  set own { type ifname . ether_addr . ipv4_addr; elements = { \
"vethb" . 02:76:0a:64:00:0a . 10.100.0.10, "vx-home" . 02:76:0a:64:00:02 . 10.100.0.2, \
"vx-home" . 02:76:0a:64:00:0b . 10.100.0.11 }; }
""",
        """\
  set gateways { type ifname . ether_addr; elements = { "vx-home" . 02:76:0a:64:00:02 }; }
""",
        """\
  set hosts { type ifname . ipv4_addr; elements = { "vx-home" . 10.100.0.1 }; }
""",
        """\
  set bridges { type ifname . ether_addr; elements = { "vx-home" . 02:76:0a:64:00:01 }; }
""",
    ):
        assert line in text


def test_a_link_to_other_nodes_is_known_by_its_alias() -> None:
    assert guard.is_uplink_alias(guard.uplink_alias(None))
    assert guard.is_uplink_alias(guard.uplink_alias(IPv4Address("10.100.0.2")))
    assert not guard.is_uplink_alias(SERVICE.to_alias())
    assert Owner.from_alias(guard.uplink_alias(IPv4Address("10.100.0.2"))) is None


def test_a_port_whose_pod_is_unknown_is_closed() -> None:
    text = guard.ruleset([Port("vethc", None)])
    assert 'set ports { type ifname; elements = { "vethc" }; }' in text
    assert "set own { type ifname . ether_addr . ipv4_addr; }" in text


@pytest.mark.parametrize("owner", [SERVICE, GATEWAY])
def test_a_ports_owner_is_read_back_from_its_alias(owner: Owner) -> None:
    assert Owner.from_alias(owner.to_alias()) == owner


@pytest.mark.parametrize("alias", ["", "piavpn.dev/home", "piavpn.dev/service/nonsense", "uplink"])
def test_another_alias_tells_no_owner(alias: str) -> None:
    assert Owner.from_alias(alias) is None
