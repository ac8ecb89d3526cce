from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import cgroups
import kube_server
import namespaces
import nodeworld
import pytest
from nodeworld import CLUSTER, TestPod, World

from piavpn import kube
from piavpn.node.attach import Attacher
from piavpn.node.canonical import Canonical
from piavpn.node.decide import NodePlan
from piavpn.node.host import REMOVAL_SECONDS, Host
from piavpn.node.links import Links
from piavpn.node.loop import Loop
from piavpn.node.pods import Pods
from piavpn.node.report import Reporter
from piavpn.node.view import Shelf, View

NETWORK = {
    "subnet": "10.100.0.0/24",
    "bridge": "br-home",
    "hostAddress": "10.100.0.1",
    "gatewayAddress": "10.100.0.2",
}


class Agent:
    """The agent's loop on a node, and the API that it sees."""

    def __init__(
        self, world: World, api: kube_server.Api, state: pathlib.Path, removal_seconds: float
    ) -> None:
        self.world = world
        self._api = api
        self._cgroups = contextlib.ExitStack()
        self._seen: dict[str, dict[str, kube.Object]] = {}
        self._view = View(node="n1", namespace="piavpn-system", cluster_cidrs=CLUSTER)
        self._reporter = Reporter(api.cluster(), self._view.resources, "n1")
        known, wireguard = Canonical(), Links(state)
        host = Host(known, wireguard, state, removal_seconds=removal_seconds)
        pods = Pods(Attacher(known, wireguard))
        self._loop = Loop(self._view, host, pods, self._reporter, "n1")
        api.put(
            kube.PIA_VPNS,
            "home",
            spec={"credentialsSecretRef": {"name": "pia"}},
            status={"network": NETWORK},
        )
        spec = {"vpnRef": {"name": "home"}, "image": "web"}
        status = {"address": "10.100.0.10"}
        api.put(kube.VPN_SERVICE_CONTAINERS, "app", "media", spec=spec, status=status)

    def make_pass(self) -> None:
        """Let the agent see the API as it is, make a pass and write its reports."""
        self.see_all()
        with self.world.node.entered():
            self._loop.make_pass()
        # The API server of this test is not in the node's namespace.
        self._reporter.write()

    def end(self) -> None:
        """End the agent, as SIGTERM does."""
        stop = threading.Event()
        stop.set()
        with self.world.node.entered():
            self._loop.run(stop)

    def see_all(self) -> None:
        """Let the agent see the API as it is, all of it."""
        self._see(self._view.vpns, kube.PIA_VPNS)
        self._see(self._view.services, kube.VPN_SERVICE_CONTAINERS)
        self._see(self._view.service_pods, kube.PODS)
        view = self._view
        for shelf in (view.vpns, view.services, view.service_pods, view.gateway_pods, view.configs):
            shelf.take("SYNCED", {})

    def schedule(self, pod: TestPod) -> None:
        """Have a pod of the app here whose sandbox that is."""
        self._api.put(
            kube.PODS,
            "app-0",
            "media",
            metadata={
                "uid": pod.seen.uid,
                "labels": {"piavpn.dev/vpn": "home", "piavpn.dev/service": "app"},
                "annotations": {"piavpn.dev/address": "10.100.0.10"},
            },
            spec={"nodeName": "n1"},
        )

    def run_in_pod(self, pod: TestPod, uid: str) -> None:
        """Let the pod's process be one of the pod with that UID."""
        made = cgroups.enter(pod.seen.pid, f"kubepods/pod{uid}/{pod.seen.pid}")
        self._cgroups.callback(cgroups.remove, made)
        self._cgroups.callback(self.world.end, pod)

    def confined(self) -> tuple[str, str]:
        """Return status and reason of the app's condition."""
        app = self._api.get(kube.VPN_SERVICE_CONTAINERS, "app", "media")
        (condition,) = app["status"]["conditions"]
        return condition["status"], condition["reason"]

    def close(self) -> None:
        self._cgroups.close()

    def _see(self, shelf: Shelf[Any], kind: kube.Kind) -> None:
        seen = {item["metadata"]["uid"]: item for item in self._api.all(kind)}
        for item in self._seen.get(kind.kind, {}).values():
            if item["metadata"]["uid"] not in seen:
                shelf.take("DELETED", item)
        for item in seen.values():
            shelf.take("MODIFIED", item)
        self._seen[kind.kind] = seen


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as made:
        yield made


@pytest.fixture
def patient_agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    """An agent that keeps a bridge without pods for a while, as it does outside of tests."""
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, REMOVAL_SECONDS)) as made:
        yield made


def test_a_pod_is_attached_as_soon_as_it_has_a_sandbox(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.make_pass()
    assert agent.confined() == ("False", "WaitingForSandbox")
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")
    assert "default via 10.100.0.2 dev vpn0" in pod.run("ip route")


def test_a_pod_whose_sandbox_ended_is_not_confined_until_the_next_one_is(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    agent.world.end(pod)
    agent.make_pass()
    assert agent.confined() == ("False", "WaitingForSandbox")
    rebuilt = agent.world.pod()
    agent.run_in_pod(rebuilt, pod.seen.uid)
    pod.run("ip link del vpn0")
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")
    assert "default via 10.100.0.2 dev vpn0" in rebuilt.run("ip route")


def test_a_pod_without_a_network_for_its_vpn_is_told_so_and_attached_when_there_is_one(
    agent: Agent, api: kube_server.Api
) -> None:
    api.put(kube.PIA_VPNS, "home", status={"network": None})
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("False", "NetworkUnknown")
    api.put(kube.PIA_VPNS, "home", status={"network": NETWORK})
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")


@pytest.mark.parametrize(
    "resource",
    [(kube.PIA_VPNS, "home", None), (kube.VPN_SERVICE_CONTAINERS, "app", "media")],
    ids=["vpn", "service"],
)
def test_a_resource_that_is_deleted_under_a_living_pod_leaves_it_locked(
    agent: Agent, api: kube_server.Api, resource: tuple[kube.Kind, str, str | None]
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    before = pod.run("nft list ruleset; ip route show table all; ip rule")
    api.remove(*resource)
    agent.make_pass()
    agent.make_pass()
    assert pod.run("nft list ruleset; ip route show table all; ip rule") == before
    assert 'iifname "br-home"' in agent.world.node.run("nft list table inet piavpn_host")


def test_a_pod_that_only_says_it_is_the_apps_gets_no_gateways_address(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    annotations = {"piavpn.dev/address": "10.100.0.2"}
    api.put(kube.PODS, "app-0", "media", metadata={"annotations": annotations})
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("False", "AddressUnknown")
    assert "vpn0" not in pod.run("ip -o link")
    # The control: with the app's own address it is attached.
    agent.schedule(pod)
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")


def test_when_the_pod_goes_nothing_is_left(agent: Agent, api: kube_server.Api) -> None:
    before = agent.world.node.run("ip addr show type bridge; nft list ruleset")
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    pod.run("ip link del vpn0")
    api.remove(kube.PODS, "app-0", "media")
    agent.make_pass()
    agent.make_pass()
    assert agent.confined() == ("False", "NoPod")
    assert agent.world.node.run("ip addr show type bridge; nft list ruleset") == before


def test_an_agent_that_ends_after_the_last_pod_leaves_nothing(
    patient_agent: Agent, api: kube_server.Api
) -> None:
    agent = patient_agent
    before = agent.world.node.run("ip addr show type bridge; nft list ruleset")
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    pod.run("ip link del vpn0")
    api.remove(kube.PODS, "app-0", "media")
    agent.make_pass()
    # The control: while the agent goes on, the bridge is kept for the next pod.
    assert "br-home" in agent.world.node.run("ip addr show type bridge")
    agent.end()
    assert agent.world.node.run("ip addr show type bridge; nft list ruleset") == before


def test_an_agent_that_ends_under_a_pod_leaves_all_that_the_pod_needs(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    shown = "ip rule; ip route show table all; nft --stateless list ruleset"
    before = agent.world.node.run(shown), pod.run(shown)
    agent.end()
    assert (agent.world.node.run(shown), pod.run(shown)) == before


def test_an_agent_that_ends_before_it_knows_the_pods_removes_nothing(
    world: World, api: kube_server.Api, tmp_path: pathlib.Path
) -> None:
    host = Host(Canonical(), Links(tmp_path), tmp_path)
    with world.node.entered():
        host.bring(NodePlan({"home": nodeworld.NETWORK}, proxies={}, pods={}))
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as blind:
        blind.end()
    assert "br-home" in world.node.run("ip addr show type bridge")
