from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from piavpn.net.routing import Route, Rule
from piavpn.node import ways_out

CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
HOP = IPv4Address("10.244.0.1")


def test_routes_lead_out_unless_they_stay_within_the_cluster() -> None:
    default = Route(via=HOP, dev="eth0")
    default_to_link = Route(dev="eth0")
    of_a_table = Route(via=HOP, dev="eth0", table=77)
    lan = Route(IPv4Network("192.168.0.0/16"), via=HOP, dev="eth0")
    by_several_hops = Route(IPv4Network("128.0.0.0/1"))
    pods = Route(IPv4Network("10.244.3.0/24"), via=HOP, dev="eth0")
    next_hop = Route(IPv4Network("169.254.1.1/32"), dev="eth0")
    out = (default, default_to_link, of_a_table, lan, by_several_hops)
    assert ways_out.routes((*out, pods, next_hop), CLUSTER) == out


def test_a_rule_leads_out_where_its_table_is_that_of_replies() -> None:
    opened = Rule(10, 4096)
    assert ways_out.rules((opened, Rule(11, 254), Rule(12, 100), Rule(13, None))) == (opened,)


def test_what_leads_out_is_named_with_link_and_table() -> None:
    routes = (
        Route(via=HOP, dev="eth0", table=77),
        Route(IPv4Network("128.0.0.0/1")),
        Route(IPv4Network("10.244.3.0/24"), via=HOP, dev="eth0"),
    )
    assert ways_out.in_words(routes, (Rule(10, 4096),), CLUSTER) == [
        "a route to 0.0.0.0/0 was added on eth0 in table 77",
        "a route to 128.0.0.0/1 was added on several links",
        "a routing rule for table 4096 was added",
    ]
