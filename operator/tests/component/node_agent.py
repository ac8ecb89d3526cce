"""The agent's loop on a node of namespaces, and the API that it sees over real HTTP."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import cgroups
import kube_server
import namespaces
import pod_specs
from nodeworld import TestPod, World

from piavpn import kube
from piavpn.api.conditions import PodCondition
from piavpn.node import pods
from piavpn.node.alarms import Alarms
from piavpn.node.attach import Attacher
from piavpn.node.canonical import Canonical
from piavpn.node.host import Host
from piavpn.node.leaktests import LeakTests
from piavpn.node.links import Links
from piavpn.node.loop import Loop
from piavpn.node.metrics import Metrics
from piavpn.node.model import Role
from piavpn.node.outbox import Outbox
from piavpn.node.outlets import Outlets
from piavpn.node.pods import Pods
from piavpn.node.report import Reporter
from piavpn.node.view import Shelf, View

NETWORK = {
    "subnet": "10.100.0.0/24",
    "bridge": "br-home",
    "hostAddress": "10.100.0.1",
    "gatewayAddress": "10.100.0.2",
}


def as_text(metrics: Metrics) -> dict[str, float]:
    """Return the values by what Prometheus calls them."""
    samples = (sample for metric in metrics.read() for sample in metric.samples)
    return {
        sample.name
        + "{"
        + ",".join(f'{k}="{v}"' for k, v in sample.labels.items())
        + "}": sample.value
        for sample in samples
    }


class Agent:
    """The agent's loop on a node, and the API that it sees."""

    def __init__(
        self, world: World, api: kube_server.Api, state: pathlib.Path, removal_seconds: float
    ) -> None:
        self.world = world
        self._api = api
        self._state = state
        self._confined = "", ""
        self._removal_seconds = removal_seconds
        self._cgroups = contextlib.ExitStack()
        self._running = contextlib.ExitStack()
        api.put(
            kube.PIA_VPNS,
            "home",
            spec={"credentialsSecretRef": {"name": "pia"}},
            status={"network": NETWORK},
        )
        self.add_app("app")
        api.put(kube.SERVICE_CIDRS, "kubernetes", spec={"cidrs": ["10.96.0.0/12"]})
        self.add_node("n1", "10.244.0.0/16")
        self.start()

    def start(self) -> None:
        """Start an agent that knows nothing yet."""
        self._seen: dict[str, dict[str, kube.Object]] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._view = View(node="n1", namespace="piavpn-system")
        self._reporter = Reporter(self._api.cluster(), self._view.told)
        self._outbox = Outbox(self._api.cluster(), self._view.owners)
        known, wireguard = Canonical(), Links(self._state)
        outlets, alarms = Outlets(known), Alarms(self._view.bell)
        host = Host(known, wireguard, outlets, self._state, removal_seconds=self._removal_seconds)
        self._leak_tests = LeakTests(alarms, self._view.bell)
        attacher = Attacher(known, wireguard, outlets, alarms, self._leak_tests)
        tracked = Pods(attacher, alarms, self._outbox, self._leak_tests)
        self._metrics = Metrics(
            tracked.members, self._leak_tests, tracked.cut_offs, tracked.durations
        )
        self._loop = Loop(self._view, host, tracked, self._reporter, self._leak_tests.report, "n1")
        stop = threading.Event()
        listener = threading.Thread(target=alarms.run, args=(stop,))
        listener.start()
        self._running.callback(alarms.close)
        self._running.callback(listener.join)
        self._running.callback(stop.set)

    def restart(self) -> None:
        """End the agent and start another."""
        self._running.close()
        self.start()

    def make_pass(self) -> None:
        """Let the agent see the API as it is, make a pass and write its reports."""
        self.see_all()
        with self.world.node.entered():
            self._loop.make_pass()
        # The API server of this test is not in the node's namespace.
        self._reporter.write()
        self._remember()
        self._outbox.send()

    @property
    def passes(self) -> int:
        """How many passes count as made: by them the agent says that it lives."""
        return self._loop.passes

    def test_for_leaks(self) -> None:
        """Make the leak tests that are due."""
        with self.world.node.entered():
            self._leak_tests.test_due()

    def metrics(self) -> dict[str, float]:
        """Return what Prometheus would read."""
        with self.world.node.entered():
            return as_text(self._metrics)

    def end(self) -> None:
        """End the agent, as SIGTERM does."""
        stop = threading.Event()
        stop.set()
        with self.world.node.entered():
            self._loop.run(stop)

    def see_all(self) -> None:
        """Let the agent see the API as it is, all of it."""
        view = self._view
        self._see(view.vpns, kube.PIA_VPNS)
        self._see(view.services, kube.VPN_SERVICE_CONTAINERS)
        self._see(view.service_pods, kube.PODS)
        self._see(view.gateway_pods, None)
        for of_others in (view.remote_service_pods, view.remote_gateway_pods, view.node_keys):
            self._see(of_others, None)
        self._see(view.configs, None)
        self._see(view.nodes, kube.NODES)
        self._see(view.service_cidrs, kube.SERVICE_CIDRS)

    def add_app(self, name: str) -> None:
        """Let there be an app of that name."""
        spec = {"vpnRef": {"name": "home"}, "image": "web"}
        status = {"address": "10.100.0.10"}
        self._api.put(kube.VPN_SERVICE_CONTAINERS, name, "media", spec=spec, status=status)

    def schedule(self, pod: TestPod, app: str = "app") -> None:
        """Have a pod of the app here whose sandbox that is."""
        self._api.put(
            kube.PODS,
            f"{app}-0",
            "media",
            metadata={
                "uid": pod.seen.uid,
                "labels": {"piavpn.dev/vpn": "home", "piavpn.dev/service": app},
                "annotations": {"piavpn.dev/address": "10.100.0.10"},
            },
            spec=pod_specs.confined(nodeName="n1"),
        )

    def run_in_pod(self, pod: TestPod, uid: str) -> None:
        """Let the pod's process be one of the pod with that UID."""
        made = cgroups.enter(pod.seen.pid, f"kubepods/pod{uid}/{pod.seen.pid}")
        self._cgroups.callback(cgroups.remove, made)
        self._cgroups.callback(self.world.end, pod)

    def confined(self) -> tuple[str, str]:
        """Return status and reason of what was last said of the app's pod."""
        return self.told(PodCondition.CONFINED)

    def told(self, kind: PodCondition) -> tuple[str, str]:
        """Return status and reason of what was last said of the app's pod by this condition."""
        return self._told[kind]

    def _remember(self) -> None:
        """Read conditions before the pod goes, which here it does as soon as it is asked to."""
        for pod in self._api.all(kube.PODS):
            for condition in pod["status"]["conditions"]:
                self._told[condition["type"]] = condition["status"], condition["reason"]

    def attach(self) -> TestPod:
        """Have a pod of the app that is attached and locked."""
        pod = self.world.pod()
        self.schedule(pod)
        self.run_in_pod(pod, pod.seen.uid)
        self.make_pass()
        assert self.confined() == ("True", "Attached")
        return pod

    def comes_to(self, holds: Callable[[], bool], *, what: str) -> None:
        """Make passes until it holds: sooner than any pod is looked at without an alarm."""

        def after_a_pass() -> bool:
            self.make_pass()
            return holds()

        namespaces.eventually(after_a_pass, what=what, seconds=pods.CHECK_SECONDS[Role.SERVICE] / 3)

    def is_tampered_with(self) -> bool:
        return self.confined() == ("False", "Tampered")

    def add_node(self, name: str, cidr: str) -> None:
        """Let the cluster have one more node."""
        self._api.put(kube.NODES, name, spec={"podCIDR": cidr})

    def close(self) -> None:
        self._cgroups.close()
        self._running.close()

    def _see(self, shelf: Shelf[Any], kind: kube.Kind | None) -> None:
        """Let it see all objects of the kind; None: that there are none."""
        if kind is not None:
            seen = {item["metadata"]["uid"]: item for item in self._api.all(kind)}
            for item in self._seen.get(kind.kind, {}).values():
                if item["metadata"]["uid"] not in seen:
                    shelf.take("DELETED", item)
            for item in seen.values():
                shelf.take("MODIFIED", item)
            self._seen[kind.kind] = seen
        shelf.take("SYNCED", {})
