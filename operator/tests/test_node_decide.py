from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest

from piavpn.api import piavpns
from piavpn.api.gateway_config import Server
from piavpn.net.routing import Route, Rule
from piavpn.node import decide, lock, plans
from piavpn.node.decide import Problem, Step, Verified
from piavpn.node.model import (
    BridgeLink,
    ClusterLink,
    Network,
    NodeEnd,
    Owner,
    Pod,
    PodPlan,
    PodState,
    Role,
)
from piavpn.node.outlet import Inside
from piavpn.node.plans import NodePlan, Snapshot

NODES = (IPv4Address("192.0.2.7"),)
CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
HOME = piavpns.PiaVpn(
    name="home",
    uid="vpn-uid",
    generation=1,
    spec=piavpns.PiaVpnSpec(credentials_secret_ref=piavpns.CredentialsSecretRef("pia")),
    status=piavpns.PiaVpnStatus(
        network=piavpns.NetworkStatus(
            subnet=IPv4Network("10.100.0.0/24"),
            bridge="br-home",
            host_address=IPv4Address("10.100.0.1"),
            gateway_address=IPv4Address("10.100.0.2"),
        )
    ),
)
NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1380,
)
SERVER = Server(region="swiss", cn="zurich406", address=IPv4Address("203.0.113.4"), port=1337)
GATEWAY = Pod("g", "gateway-0", "piavpn-system", Role.GATEWAY, "home", Owner("home"), None)
APP = Pod(
    uid="a",
    name="app-0",
    namespace="media",
    role=Role.SERVICE,
    vpn="home",
    owner=Owner("app", "media"),
    address=IPv4Address("10.100.0.10"),
    name_servers=("10.100.0.2",),
)
SNAPSHOT = Snapshot(
    vpns={"home": HOME},
    pods=(GATEWAY, APP),
    servers={"home": (SERVER,)},
    cluster=CLUSTER,
    services={Owner("app", "media"): IPv4Address("10.100.0.10")},
    nodes=NODES,
)


def test_a_vpn_with_its_gateway_here_gets_bridge_proxy_and_pods() -> None:
    assert plans.node_plan(SNAPSHOT, 1380) == NodePlan(
        networks={"home": NETWORK},
        proxies={"home": (SERVER,)},
        pods={
            "g": PodPlan(Role.GATEWAY, NETWORK, IPv4Address("10.100.0.2"), CLUSTER),
            "a": PodPlan(Role.SERVICE, NETWORK, IPv4Address("10.100.0.10"), CLUSTER),
        },
        inside=Inside(CLUSTER, NODES),
        inhabited=frozenset({"home"}),
    )


def labelled(address: str | None) -> Pod:
    given = IPv4Address(address) if address else None
    return dataclasses.replace(
        APP, uid="l", owner=Owner("crawler-1", "media", is_pod=True), address=given
    )


def planned(pod: Pod) -> PodPlan | Problem:
    snapshot = dataclasses.replace(SNAPSHOT, pods=(GATEWAY, pod))
    return plans.node_plan(snapshot, 1380).pods[pod.uid]


def test_a_labelled_pod_gets_the_address_that_stands_on_it() -> None:
    plan = planned(labelled("10.100.0.20"))
    assert isinstance(plan, PodPlan)
    assert (plan.role, plan.address) == (Role.SERVICE, IPv4Address("10.100.0.20"))


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (
            None,
            Problem(
                "AddressUnknown",
                "the operator gives the pod its address, and it has none yet: see the pod's"
                " condition piavpn.dev/Accepted",
            ),
        ),
        (
            "10.100.0.2",
            Problem(
                "AddressUnknown",
                "the operator gives the pod its address, and it has 10.100.0.2, which is none of"
                " 10.100.0.0/24 for apps: see the pod's condition piavpn.dev/Accepted",
            ),
        ),
        (
            "10.100.0.10",
            Problem(
                "AddressInUse",
                "a VpnServiceContainer holds 10.100.0.10, too: delete the pod to have it made anew",
            ),
        ),
    ],
)
def test_a_labelled_pod_without_an_address_of_its_own_waits(
    address: str | None, problem: Problem
) -> None:
    assert planned(labelled(address)) == problem


def test_a_vpn_without_a_pod_here_gets_nothing() -> None:
    empty = dataclasses.replace(SNAPSHOT, pods=())
    assert plans.node_plan(empty, 1380) == NodePlan({}, {}, {}, Inside(CLUSTER, NODES))


def test_a_service_without_its_gateway_here_gets_a_bridge_and_no_proxy() -> None:
    plan = plans.node_plan(dataclasses.replace(SNAPSHOT, pods=(APP,)), 1380)
    assert (set(plan.networks), plan.proxies) == ({"home"}, {})


def test_a_gateway_whose_servers_are_not_known_yet_gets_a_proxy_that_refuses_all() -> None:
    plan = plans.node_plan(dataclasses.replace(SNAPSHOT, servers={}), 1380)
    assert plan.proxies == {"home": ()}


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"vpns": {}}, "NetworkUnknown", "PiaVpn home has no network yet"),
        ({"cluster": ()}, "ClusterCIDRsUnknown", "set PIAVPN_CLUSTER_CIDRS"),
        (
            {"pods": (dataclasses.replace(APP, address=None),)},
            "AddressUnknown",
            "no address of 10.100.0.0/24",
        ),
        (
            {"pods": (dataclasses.replace(APP, address=IPv4Address("10.9.0.1")),)},
            "AddressUnknown",
            "no address of 10.100.0.0/24",
        ),
        (
            {"pods": (dataclasses.replace(APP, uid="older"), APP)},
            "AddressInUse",
            "still holds 10.100.0.10",
        ),
        (
            {"services": {}},
            "AddressUnknown",
            "VpnServiceContainer media/app, which does not exist",
        ),
        (
            {"services": {Owner("app", "elsewhere"): IPv4Address("10.100.0.10")}},
            "AddressUnknown",
            "VpnServiceContainer media/app, which does not exist",
        ),
        (
            {"services": {Owner("app", "media"): None}},
            "AddressUnknown",
            "says 10.100.0.10, but VpnServiceContainer media/app holds no address",
        ),
        (
            {"services": {Owner("app", "media"): IPv4Address("10.100.0.11")}},
            "AddressUnknown",
            "says 10.100.0.10, but VpnServiceContainer media/app holds 10.100.0.11",
        ),
        (
            {"pods": (dataclasses.replace(APP, breach="spec.hostPID is set"),)},
            "PodNotAllowed",
            "spec.hostPID is set: the pod is cut off; delete it",
        ),
        (
            {"pods": (dataclasses.replace(APP, breach="spec.hostPID is set"),), "vpns": {}},
            "PodNotAllowed",
            "spec.hostPID is set: the pod is cut off; delete it",
        ),
        (
            {"pods": (dataclasses.replace(APP, name_servers=()),)},
            "PodNotAllowed",
            "spec.dnsPolicy and spec.dnsConfig must name 10.100.0.2, the gateway, alone",
        ),
        (
            {"pods": (dataclasses.replace(APP, name_servers=("10.100.0.2", "9.9.9.9")),)},
            "PodNotAllowed",
            "spec.dnsPolicy and spec.dnsConfig must name 10.100.0.2, the gateway, alone",
        ),
    ],
)
def test_what_keeps_a_pod_from_being_attached_is_told(
    change: dict[str, object], reason: str, told: str
) -> None:
    outcome = plans.node_plan(dataclasses.replace(SNAPSHOT, **change), 1380).pods["a"]
    assert isinstance(outcome, Problem)
    assert outcome.reason == reason
    assert told in outcome.message


@pytest.mark.parametrize("address", ["10.100.0.0", "10.100.0.1", "10.100.0.2", "10.100.0.255"])
def test_no_app_gets_an_address_of_the_network_itself_and_the_gateway_keeps_its_own(
    address: str,
) -> None:
    wanted = IPv4Address(address)
    foreign = dataclasses.replace(APP, address=wanted)
    snapshot = dataclasses.replace(SNAPSHOT, pods=(foreign, GATEWAY), services={APP.owner: wanted})
    pods = plans.node_plan(snapshot, 1380).pods
    assert pods == {
        "a": Problem(
            "AddressUnknown",
            "the pod's annotation names no address of 10.100.0.0/24 that an app may have: delete"
            " the pod to have it made anew",
        ),
        "g": PodPlan(Role.GATEWAY, NETWORK, IPv4Address("10.100.0.2"), CLUSTER),
    }


def test_a_foreign_pod_keeps_no_app_from_its_address() -> None:
    foreign = dataclasses.replace(APP, uid="f", namespace="other", owner=Owner("app", "other"))
    pods = plans.node_plan(dataclasses.replace(SNAPSHOT, pods=(foreign, APP)), 1380).pods
    assert isinstance(pods["f"], Problem)
    assert pods["a"] == PodPlan(Role.SERVICE, NETWORK, IPv4Address("10.100.0.10"), CLUSTER)


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


def test_isolation_is_on_the_nodes_side_and_its_change_no_damage() -> None:
    assert SETTLED.bridge_link is not None
    talking = dataclasses.replace(SETTLED.bridge_link, isolated=False)
    assert decide.damage(VERIFIED, dataclasses.replace(SETTLED, bridge_link=talking)) == ()


def test_services_are_isolated_as_their_vpn_says_and_gateways_never() -> None:
    spec = dataclasses.replace(HOME.spec, network=piavpns.NetworkSpec(service_isolation=False))
    talking = dataclasses.replace(SNAPSHOT, vpns={"home": dataclasses.replace(HOME, spec=spec)})
    for snapshot, isolated in ((SNAPSHOT, True), (talking, False)):
        planned = plans.node_plan(snapshot, 1380).pods
        app, gateway = planned["a"], planned["g"]
        assert isinstance(app, PodPlan)
        assert isinstance(gateway, PodPlan)
        assert (app.isolated, gateway.isolated) == (isolated, False)


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


def test_an_app_bypasses_the_tunnel_to_what_it_or_its_vpn_names_but_never_the_bridge_s() -> None:
    bypass = {
        Owner("home"): (IPv4Network("192.168.1.0/24"), IPv4Network("10.100.0.128/25")),
        APP.owner: (IPv4Network("192.168.0.0/24"), IPv4Network("192.168.7.9/32")),
        Owner("app", "work"): (IPv4Network("172.16.0.0/16"),),
        Owner("work"): (IPv4Network("172.17.0.0/16"),),
    }
    pods = plans.node_plan(dataclasses.replace(SNAPSHOT, bypass=bypass), 1380).pods
    app, gateway = pods["a"], pods["g"]
    assert isinstance(app, PodPlan)
    assert isinstance(gateway, PodPlan)
    assert app.bypass == (IPv4Network("192.168.0.0/23"), IPv4Network("192.168.7.9/32"))
    assert app.direct == (*CLUSTER, *app.bypass)
    assert gateway.bypass == ()


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
