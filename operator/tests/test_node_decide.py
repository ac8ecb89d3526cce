"""What there is to do for a pod on its node, and what of it is damage."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest
from node_objects import CLUSTER, NETWORK

from piavpn.net.routing import Route, Rule
from piavpn.node import decide, lock
from piavpn.node.decide import Problem, Step, Verified
from piavpn.node.model import BridgeLink, ClusterLink, NodeEnd, PodPlan, PodState, Role

PLAN = PodPlan(Role.SERVICE, NETWORK, IPv4Address("10.100.0.10"), CLUSTER)
LINK = ClusterLink(IPv4Address("10.244.0.5"), IPv4Address("10.244.0.1"))
UNTOUCHED = PodState(
    cluster_link=LINK,
    has_cluster_link=True,
    bridge_link=None,
    lock=None,
    sysctls={"net/ipv4/conf/all/rp_filter": "2"},
    routes=frozenset(),
    rules=frozenset(),
    other_routes=frozenset({Route(via=LINK.next_hop, dev="eth0")}),
    other_rules=frozenset(),
    tunnels=frozenset(),
    outlet=NodeEnd(index=7, name="veth5", peer=2, alias=""),
    cut_off=False,
)
SETTLED = PodState(
    cluster_link=LINK,
    has_cluster_link=True,
    bridge_link=BridgeLink(
        address=NETWORK.interface(PLAN.address),
        mac="02:76:0a:64:00:0a",
        bridge="br-home",
        port_alias="piavpn.dev/service/10.100.0.10",
        isolated=True,
        mtu=NETWORK.mtu,
        up=True,
    ),
    lock="intact",
    sysctls={"net/ipv4/conf/all/rp_filter": "0"},
    routes=frozenset(lock.routes(PLAN, LINK)),
    rules=frozenset(lock.rules(LINK)),
    other_routes=frozenset(),
    other_rules=frozenset(),
    tunnels=frozenset(),
    outlet=NodeEnd(index=7, name="veth5", peer=2, alias="piavpn.dev/cluster-link/10.244.0.5"),
    cut_off=False,
)


def test_the_lock_comes_before_everything_else() -> None:
    assert decide.steps(PLAN, LINK, UNTOUCHED, "intact") == (
        Step.LOCK,
        Step.SYSCTLS,
        Step.OUTLET,
        Step.ATTACH,
        Step.ROUTES,
    )


def test_a_settled_pod_needs_nothing() -> None:
    assert decide.steps(PLAN, LINK, SETTLED, "intact") == ()


@pytest.mark.parametrize(
    "link",
    [
        {"port_alias": ""},
        {"port_alias": "piavpn.dev/gateway/10.100.0.10"},
        {"bridge": "br-other"},
        {"bridge": None},
        {"mac": "02:00:00:00:00:01"},
        {"address": None},
        {"up": False},
    ],
)
def test_a_wrong_link_is_taken_away_and_made_anew(link: dict[str, object]) -> None:
    assert SETTLED.bridge_link is not None
    wrong = dataclasses.replace(
        SETTLED, bridge_link=dataclasses.replace(SETTLED.bridge_link, **link)
    )
    assert decide.steps(PLAN, LINK, wrong, "intact") == (Step.DETACH, Step.ATTACH, Step.ROUTES)


def service_with(*, isolation: bool) -> PodPlan:
    return dataclasses.replace(
        PLAN, network=dataclasses.replace(NETWORK, service_isolation=isolation)
    )


def test_isolation_is_changed_without_taking_the_link_away() -> None:
    assert SETTLED.bridge_link is not None
    talking = dataclasses.replace(
        SETTLED, bridge_link=dataclasses.replace(SETTLED.bridge_link, isolated=False)
    )
    assert decide.steps(service_with(isolation=False), LINK, SETTLED, "intact") == (Step.ISOLATION,)
    assert decide.steps(service_with(isolation=False), LINK, talking, "intact") == ()
    assert decide.steps(service_with(isolation=True), LINK, talking, "intact") == (Step.ISOLATION,)


def test_the_mtu_is_changed_without_taking_the_link_away() -> None:
    smaller = dataclasses.replace(PLAN, network=dataclasses.replace(NETWORK, mtu=1370))
    assert decide.steps(smaller, LINK, SETTLED, "intact") == (Step.MTU,)
    assert SETTLED.bridge_link is not None
    changed = dataclasses.replace(SETTLED.bridge_link, mtu=1370)
    settled = dataclasses.replace(SETTLED, bridge_link=changed)
    assert decide.steps(smaller, LINK, settled, "intact") == ()
    assert decide.damage(decide.Verified(PLAN, LINK, "intact"), settled) == ()


def test_isolation_is_on_the_nodes_side_and_its_change_no_damage() -> None:
    assert SETTLED.bridge_link is not None
    talking = dataclasses.replace(SETTLED.bridge_link, isolated=False)
    assert decide.damage(VERIFIED, dataclasses.replace(SETTLED, bridge_link=talking)) == ()


def test_a_gateway_needs_its_tunnels_last() -> None:
    plan = PodPlan(Role.GATEWAY, NETWORK, NETWORK.gateway, CLUSTER)
    assert decide.steps(plan, LINK, UNTOUCHED, "intact")[-1] is Step.TUNNELS


VERIFIED = Verified(PLAN, LINK, "intact")


def test_what_was_verified_and_is_so_still_is_not_damaged() -> None:
    assert decide.damage(VERIFIED, SETTLED) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lock": None}, "the lock is gone"),
        ({"lock": "other"}, "the lock was changed"),
        ({"bridge_link": None}, "the link to the bridge is gone"),
        (
            {"other_routes": frozenset({Route(via=LINK.next_hop, dev="eth0")})},
            "a route to 0.0.0.0/0 was added on eth0",
        ),
        (
            {"other_routes": frozenset({Route(via=LINK.next_hop, dev="eth0", table=77)})},
            "a route to 0.0.0.0/0 was added on eth0 in table 77",
        ),
        (
            {"other_routes": frozenset({Route(IPv4Network("203.0.113.0/24"), dev="eth0")})},
            "a route to 203.0.113.0/24 was added on eth0",
        ),
        (
            {"other_rules": frozenset({Rule(10, lock.REPLY_TABLE)})},
            "a routing rule for table 4096 was added",
        ),
        ({"routes": frozenset()}, "routes or routing rules were changed"),
        ({"rules": frozenset()}, "routes or routing rules were changed"),
    ],
)
def test_damage_is_named(change: dict[str, object], told: str) -> None:
    assert decide.damage(VERIFIED, dataclasses.replace(SETTLED, **change)) == (told,)


@pytest.mark.parametrize(
    "change",
    [
        {"sysctls": {"net/ipv4/conf/all/rp_filter": "2"}},
        {"outlet": NodeEnd(index=7, name="veth5", peer=2, alias="")},
    ],
)
def test_what_opens_no_way_out_is_repaired_and_no_damage(change: dict[str, object]) -> None:
    changed = dataclasses.replace(SETTLED, **change)
    assert decide.damage(VERIFIED, changed) == ()
    assert len(decide.steps(PLAN, LINK, changed, "intact")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"other_rules": frozenset({Rule(32764, 100, fwmark=0x111, mask=0xFFF)})},
        {"other_routes": frozenset({Route(IPv4Network("10.244.9.0/24"), dev="eth0")})},
        {"other_routes": frozenset({Route(IPv4Network("198.51.100.0/24"), dev="net1")})},
    ],
    ids=["a rule", "a route inside", "a route on another link"],
)
def test_what_others_add_and_leads_not_out_is_left_alone(change: dict[str, object]) -> None:
    changed = dataclasses.replace(SETTLED, **change)
    assert decide.damage(VERIFIED, changed) == ()
    assert decide.steps(PLAN, LINK, changed, "intact") == ()


def test_a_route_to_the_cluster_links_next_hop_that_was_there_before_is_no_damage() -> None:
    next_hop = frozenset({Route(IPv4Network("169.254.1.1/32"), dev="eth0")})
    verified = dataclasses.replace(VERIFIED, other_routes=next_hop)
    assert decide.damage(verified, dataclasses.replace(SETTLED, other_routes=next_hop)) == ()


def test_an_outdated_lock_is_no_damage_but_is_replaced() -> None:
    assert decide.damage(VERIFIED, SETTLED) == ()
    assert decide.steps(PLAN, LINK, SETTLED, "of a new version") == (Step.LOCK,)


GONE = dataclasses.replace(
    SETTLED, cluster_link=None, has_cluster_link=False, routes=frozenset(), outlet=None
)


def test_a_link_that_goes_with_nothing_else_is_a_sandbox_s_end() -> None:
    assert decide.is_torn_down(VERIFIED, GONE)


@pytest.mark.parametrize(
    "change",
    [
        {"has_cluster_link": True},
        {"lock": None},
        {"lock": "another"},
        {"other_routes": frozenset({Route(dev="net1")})},
        {"other_rules": frozenset({Rule(10, lock.REPLY_TABLE)})},
    ],
)
def test_a_link_that_goes_with_more_than_itself_is_damage(change: dict[str, object]) -> None:
    assert not decide.is_torn_down(VERIFIED, dataclasses.replace(GONE, **change))


def test_a_pod_whose_address_is_none_of_the_cluster_s_is_told_what_to_set() -> None:
    strange = ClusterLink(IPv4Address("10.42.0.5"), IPv4Address("10.42.0.1"))
    assert decide.misplaced(PLAN, LINK) is None
    assert decide.misplaced(PLAN, strange) == Problem(
        "ClusterCIDRsWrong",
        "the cluster's CNI plugin has given the pod 10.42.0.5, which is in none of the networks"
        " that are known as the cluster's (10.96.0.0/12, 10.244.0.0/16): set PIAVPN_CLUSTER_CIDRS"
        " of the node agent's DaemonSet and the operator's Deployment to all pod and service CIDRs",
    )
