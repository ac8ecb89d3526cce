from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from namespaces import Namespace

from piavpn.net import nft
from piavpn.node import guard, lock, outlet
from piavpn.node.canonical import Canonical
from piavpn.node.model import ClusterLink, Network, PodPlan, Role

CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1420,
)
PORTS = [
    guard.Port(f"veth{number}", guard.Owner(Role.SERVICE, IPv4Address(f"10.100.0.{number}")))
    for number in (2, 10, 100, 9)
]
OUTLETS = [
    outlet.Outlet(f"veth{number}", IPv4Address(f"10.244.0.{number}")) for number in (2, 10, 100, 9)
]
INSIDE = outlet.Inside(CLUSTER, (IPv4Address("172.18.0.3"), IPv4Address("172.18.0.2")))
FILTERS = {guard.TABLE: guard.ruleset(PORTS), **outlet.rulesets(OUTLETS, INSIDE)}


@pytest.fixture
def there(node: Namespace) -> Namespace:
    """A node that has the filters."""
    for number in (2, 10, 100, 9):
        node.run(f"ip link add veth{number} type bridge")
    with node.entered():
        nft.load("".join(FILTERS.values()))
    return node


@pytest.mark.parametrize("table", FILTERS)
def test_a_filter_that_is_there_is_known_however_many_links_it_names(
    there: Namespace, table: str
) -> None:
    with there.entered():
        found = nft.find_table(table)
    assert Canonical().is_intact(table, found, FILTERS[table])


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        (guard.TABLE, "nft delete element bridge piavpn_ports ports '{ veth9 }'"),
        (guard.TABLE, "nft add element bridge piavpn_ports gateways '{ veth9 . 02:76:0a:64:0:9 }'"),
        (guard.TABLE, "nft flush chain bridge piavpn_ports incoming"),
        (guard.TABLE, "nft insert rule bridge piavpn_ports incoming accept"),
        (guard.TABLE, "nft add set bridge piavpn_ports more '{ type ifname; }'"),
        (outlet.PORTS_TABLE, "nft flush set netdev piavpn_outlets own"),
        (
            outlet.PORTS_TABLE,
            "nft add element netdev piavpn_outlets own '{ veth9 . 10.244.0.200 }'",
        ),
        (outlet.FORWARD_TABLE, "nft delete element inet piavpn_outlets pods '{ 10.244.0.9 }'"),
        (outlet.FORWARD_TABLE, "nft add element inet piavpn_outlets cluster '{ 203.0.113.0/24 }'"),
        (outlet.FORWARD_TABLE, "nft add element inet piavpn_outlets nodes '{ 203.0.113.9 }'"),
        (outlet.FORWARD_TABLE, "nft delete table inet piavpn_outlets"),
    ],
)
def test_one_of_which_something_was_added_or_taken_away_is_not(
    there: Namespace, table: str, damage: str
) -> None:
    there.run(damage)
    with there.entered():
        found = nft.find_table(table)
    assert not Canonical().is_intact(table, found, FILTERS[table])


@pytest.mark.parametrize(
    ("address", "cluster_address"),
    [("10.100.0.10", "10.244.0.5"), ("10.100.0.1", "10.100.0.10"), ("10.9.0.1", "10.9.0.1")],
)
def test_the_lock_of_any_pod_is_told_from_the_shape_of_all(
    pod: Namespace, address: str, cluster_address: str
) -> None:
    known = Canonical()
    for own, other in (("10.100.0.77", "10.244.0.77"), (address, cluster_address)):
        plan = PodPlan(Role.SERVICE, NETWORK, IPv4Address(own), CLUSTER)
        link = ClusterLink(IPv4Address(other), None)
        ruleset = lock.ruleset(plan, link)
        told = known.listing(lock.TABLE, ruleset, (plan.address, link.address))
        with pod.entered():
            nft.load(ruleset)
            assert nft.list_table(lock.TABLE) == told


def test_addresses_that_look_like_those_that_stand_in_for_others_are_listed_as_they_are(
    pod: Namespace,
) -> None:
    plan = PodPlan(
        Role.SERVICE, NETWORK, IPv4Address("240.0.0.2"), (*CLUSTER, IPv4Network("240.0.0.1"))
    )
    link = ClusterLink(IPv4Address("10.244.0.5"), None)
    ruleset = lock.ruleset(plan, link)
    told = Canonical().listing(lock.TABLE, ruleset, (plan.address, link.address))
    with pod.entered():
        nft.load(ruleset)
        assert nft.list_table(lock.TABLE) == told


def test_a_rule_set_that_nft_refuses_is_not_in_the_way_of_the_next_listing() -> None:
    known = Canonical()
    with pytest.raises(nft.NftError):
        known.listing("inet one", "table inet one { chain c { nonsense } }")
    assert "chain c" in known.listing("inet one", "table inet one { chain c { accept; }; }")
