"""What a node is to have, and what keeps a pod from being attached."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest
from node_objects import CLUSTER, NETWORK

from piavpn.api import piavpns
from piavpn.api.gateway_config import Server
from piavpn.node import plans
from piavpn.node.decide import Problem
from piavpn.node.model import Owner, Pod, PodPlan, Role
from piavpn.node.outlet import Inside
from piavpn.node.plans import NodePlan, Snapshot

NODES = (IPv4Address("192.0.2.7"),)
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
    assert plans.node_plan(SNAPSHOT, 1460) == NodePlan(
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
    return plans.node_plan(snapshot, 1460).pods[pod.uid]


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
    assert plans.node_plan(empty, 1460) == NodePlan({}, {}, {}, Inside(CLUSTER, NODES))


def test_a_service_without_its_gateway_here_gets_a_bridge_and_no_proxy() -> None:
    plan = plans.node_plan(dataclasses.replace(SNAPSHOT, pods=(APP,)), 1460)
    assert (set(plan.networks), plan.proxies) == ({"home"}, {})


def test_a_gateway_whose_servers_are_not_known_yet_gets_a_proxy_that_refuses_all() -> None:
    plan = plans.node_plan(dataclasses.replace(SNAPSHOT, servers={}), 1460)
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
    outcome = plans.node_plan(dataclasses.replace(SNAPSHOT, **change), 1460).pods["a"]
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
    pods = plans.node_plan(snapshot, 1460).pods
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
    pods = plans.node_plan(dataclasses.replace(SNAPSHOT, pods=(foreign, APP)), 1460).pods
    assert isinstance(pods["f"], Problem)
    assert pods["a"] == PodPlan(Role.SERVICE, NETWORK, IPv4Address("10.100.0.10"), CLUSTER)


def test_services_are_isolated_as_their_vpn_says_and_gateways_never() -> None:
    spec = dataclasses.replace(HOME.spec, network=piavpns.NetworkSpec(service_isolation=False))
    talking = dataclasses.replace(SNAPSHOT, vpns={"home": dataclasses.replace(HOME, spec=spec)})
    for snapshot, isolated in ((SNAPSHOT, True), (talking, False)):
        planned = plans.node_plan(snapshot, 1460).pods
        app, gateway = planned["a"], planned["g"]
        assert isinstance(app, PodPlan)
        assert isinstance(gateway, PodPlan)
        assert (app.isolated, gateway.isolated) == (isolated, False)


def test_an_app_bypasses_the_tunnel_to_what_it_or_its_vpn_names_but_never_the_bridge_s() -> None:
    bypass = {
        Owner("home"): (IPv4Network("192.168.1.0/24"), IPv4Network("10.100.0.128/25")),
        APP.owner: (IPv4Network("192.168.0.0/24"), IPv4Network("192.168.7.9/32")),
        Owner("app", "work"): (IPv4Network("172.16.0.0/16"),),
        Owner("work"): (IPv4Network("172.17.0.0/16"),),
    }
    pods = plans.node_plan(dataclasses.replace(SNAPSHOT, bypass=bypass), 1460).pods
    app, gateway = pods["a"], pods["g"]
    assert isinstance(app, PodPlan)
    assert isinstance(gateway, PodPlan)
    assert app.bypass == (IPv4Network("192.168.0.0/23"), IPv4Network("192.168.7.9/32"))
    assert app.direct == (*CLUSTER, *app.bypass)
    assert gateway.bypass == ()
