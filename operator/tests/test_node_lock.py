from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest

from piavpn.net.routing import Route, Rule
from piavpn.node import lock
from piavpn.node.model import ClusterLink, Network, PodPlan, Role

NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1420,
)
CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
SERVICE = PodPlan(Role.SERVICE, NETWORK, IPv4Address("10.100.0.10"), CLUSTER)
GATEWAY = PodPlan(Role.GATEWAY, NETWORK, IPv4Address("10.100.0.2"), CLUSTER)
LINK = ClusterLink(IPv4Address("10.244.0.5"), IPv4Address("10.244.0.1"))

SERVICE_RULES = """\
table inet piavpn_lock
delete table inet piavpn_lock
table inet piavpn_lock {
  set cluster { type ipv4_addr; flags interval; elements = { 10.96.0.0/12, 10.244.0.0/16 }; }
  counter probe_ipv4 { }
  counter probe_ipv6 { }
  counter probe_dns { }
  counter probe_tunnel { }
  counter dropped_dns { }
  counter dropped_ipv6 { }
  counter dropped_options { }
  counter dropped_cluster_link { }
  counter dropped_source { }
  counter dropped_forward { }
  counter dropped_other { }
  chain came_in {
    type filter hook prerouting priority mangle; policy accept;
    iifname "eth0" ct state new ct mark set ct mark | 0x1000
  }
  chain udp_in {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "eth0" ip saddr != @cluster ip daddr 10.244.0.5 meta l4proto udp dnat ip to 10.100.0.10
  }
  chain replies {
    type route hook output priority mangle; policy accept;
    ct direction reply ct mark & 0x1000 == 0x1000 meta mark set meta mark | 0x1000
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    counter name dropped_forward drop
  }
  chain outgoing {
    type filter hook postrouting priority filter; policy drop;
    oifname "lo" accept
    ip6 daddr 2001:db8::/32 counter name probe_ipv6 drop
    meta nfproto ipv6 counter name dropped_ipv6 drop
    oifname "vpn0" ip daddr 192.0.2.0/24 counter name probe_tunnel drop
    oifname "vpn0" ip saddr 10.100.0.10 accept
    oifname "vpn0" counter name dropped_source drop
    oifname "eth0" jump cluster_link
    ip daddr 192.0.2.0/24 counter name probe_ipv4 drop
    counter name dropped_other drop
  }
  chain cluster_link {
    ip hdrlength > 5 counter name dropped_options drop
    ct direction reply ct mark & 0x1000 == 0x1000 accept
    ip daddr @cluster meta l4proto { tcp, udp } th dport { 53, 853 } goto dns
    ip daddr @cluster accept
    ip daddr 192.0.2.0/24 counter name probe_ipv4 drop
    counter name dropped_cluster_link drop
  }
  chain dns {
    meta mark & 0x2000 == 0x2000 counter name probe_dns drop
    counter name dropped_dns drop
  }
}
"""

GATEWAY_RULES = """\
table inet piavpn_lock
delete table inet piavpn_lock
table inet piavpn_lock {
  set cluster { type ipv4_addr; flags interval; elements = { 10.96.0.0/12, 10.244.0.0/16 }; }
  counter dropped_ipv6 { }
  counter dropped_options { }
  counter dropped_cluster_link { }
  counter dropped_destination { }
  counter dropped_forward { }
  counter dropped_other { }
  chain came_in {
    type filter hook prerouting priority mangle; policy accept;
    iifname "eth0" ct state new ct mark set ct mark | 0x1000
  }
  chain replies {
    type route hook output priority mangle; policy accept;
    ct direction reply ct mark & 0x1000 == 0x1000 meta mark set meta mark | 0x1000
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    meta nfproto ipv6 counter name dropped_ipv6 drop
    iifname "vpn0" oifname { "piaw0", "piaw1" } accept
    iifname { "piaw0", "piaw1" } oifname "vpn0" accept
    counter name dropped_forward drop
  }
  chain outgoing {
    type filter hook postrouting priority filter; policy drop;
    oifname "lo" accept
    meta nfproto ipv6 counter name dropped_ipv6 drop
    oifname "vpn0" ip daddr 10.100.0.0/24 accept
    oifname "vpn0" counter name dropped_destination drop
    oifname { "piaw0", "piaw1" } accept
    oifname "eth0" jump cluster_link
    counter name dropped_other drop
  }
  chain cluster_link {
    ip hdrlength > 5 counter name dropped_options drop
    ct direction reply ct mark & 0x1000 == 0x1000 accept
    meta skuid 65533 counter name dropped_cluster_link drop
    ip daddr @cluster meta l4proto { tcp, udp } th dport 53 accept
    ip daddr 169.254.20.10 meta l4proto { tcp, udp } th dport 53 accept
    ip daddr @cluster tcp dport { 443, 6443 } accept
    counter name dropped_cluster_link drop
  }
}
"""


def test_a_services_lock_lets_out_the_cluster_and_replies_alone() -> None:
    assert lock.ruleset(SERVICE, LINK) == SERVICE_RULES


def test_a_gateways_lock_forwards_between_bridge_and_tunnels_alone() -> None:
    assert lock.ruleset(GATEWAY, LINK) == GATEWAY_RULES


def test_a_services_default_route_is_the_gateway() -> None:
    hop = {"via": IPv4Address("10.244.0.1"), "dev": "eth0", "onlink": True}
    assert lock.routes(SERVICE, LINK) == (
        Route(table=4096, **hop),  # type: ignore[arg-type]
        Route(IPv4Network("10.96.0.0/12"), **hop),  # type: ignore[arg-type]
        Route(IPv4Network("10.244.0.0/16"), **hop),  # type: ignore[arg-type]
        Route(via=IPv4Address("10.100.0.2"), dev="vpn0"),
    )


def test_a_gateway_has_no_default_route() -> None:
    destinations = [
        route.destination for route in lock.routes(GATEWAY, LINK) if route.table != 4096
    ]
    assert destinations == [*CLUSTER, IPv4Network("169.254.20.10/32")]


def test_a_cluster_link_without_next_hop_is_routed_to_directly() -> None:
    direct = ClusterLink(IPv4Address("10.244.0.5"), None)
    assert lock.routes(GATEWAY, direct) == (
        Route(dev="eth0", table=4096),
        Route(IPv4Network("10.96.0.0/12"), dev="eth0"),
        Route(IPv4Network("10.244.0.0/16"), dev="eth0"),
        Route(IPv4Network("169.254.20.10/32"), dev="eth0"),
    )


def test_replies_take_the_way_back_by_address_and_by_mark() -> None:
    assert lock.rules(LINK) == (
        Rule(50, 4096, from_=IPv4Network("10.244.0.5/32")),
        Rule(51, 4096, fwmark=0x1000, mask=0x1000),
    )


@pytest.mark.parametrize("role", list(Role))
def test_no_pod_filters_by_reverse_path_or_has_ipv6_on_its_links(role: Role) -> None:
    values = lock.sysctls(role)
    assert values["net/ipv4/conf/all/rp_filter"] == "0"
    assert values["net/ipv4/conf/eth0/rp_filter"] == "0"
    assert values["net/ipv6/conf/default/disable_ipv6"] == "1"
    assert values["net/ipv6/conf/eth0/disable_ipv6"] == "1"


def test_the_gateway_alone_forwards() -> None:
    assert lock.sysctls(Role.GATEWAY)["net/ipv4/ip_forward"] == "1"
    assert "net/ipv4/ip_forward" not in lock.sysctls(Role.SERVICE)


def test_what_bypasses_the_tunnel_is_let_out_and_routed_as_the_cluster_is() -> None:
    lan = IPv4Network("192.168.1.0/24")
    plan = dataclasses.replace(SERVICE, bypass=(lan,))
    wider = "elements = { 10.96.0.0/12, 10.244.0.0/16, 192.168.1.0/24 }"
    assert lock.ruleset(plan, LINK) == SERVICE_RULES.replace(
        "elements = { 10.96.0.0/12, 10.244.0.0/16 }", wider
    )
    way = Route(lan, via=IPv4Address("10.244.0.1"), dev="eth0", onlink=True)
    assert set(lock.routes(plan, LINK)) - set(lock.routes(SERVICE, LINK)) == {way}
