"""Where gateway and apps run, and that they come up elsewhere when their node is gone.

The kubelet alone is stopped: for the cluster the node is lost, but its pods run on, with addresses
and keys. That is the worst case of what an owner may take for a dead node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from harness import apart, judge, kubectl, leaky, nodes, probes, waiting

pytestmark = [pytest.mark.owns_nodes, pytest.mark.disruptive]

_KEY = "test-place"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
_PRIORITY = "system-cluster-critical"
_PLACE = {
    "nodeSelector": {_KEY: "here"},
    "tolerations": [{"key": _KEY, "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": _PRIORITY,
}


@pytest.fixture
def worker() -> Iterator[str]:
    """Give the node without an API server, which takes only what tolerates it."""
    (name,) = (each for each in nodes.names() if not each.endswith("control-plane"))
    kubectl.run("label", "node", name, f"{_KEY}=here")
    kubectl.run("taint", "node", name, f"{_KEY}=:NoSchedule")
    try:
        yield name
    finally:
        kubectl.run("label", "nodes", "--all", f"{_KEY}-")
        untaint(name, _KEY)


def taint(node: str) -> None:
    kubectl.run("taint", "node", node, _OUT_OF_SERVICE)


def untaint(node: str, key: str) -> None:
    """Take the taint away, unless it went with the Node object."""
    known = (kubectl.get("node", node) or {}).get("spec", {}).get("taints", [])
    if key in {each["key"] for each in known}:
        kubectl.run("taint", "node", node, f"{key}-")


def delete(node: str) -> None:
    kubectl.run("delete", "node", node)


@pytest.mark.parametrize("give_up", [taint, delete])
def test_nothing_leaks_when_gateway_and_app_leave_a_node_that_is_gone(
    worker: str, leaks: judge.Judge, give_up: Callable[[str], None]
) -> None:
    beside = {"template": {"spec": {"nodeSelector": _PLACE["nodeSelector"]}}}
    with probes.tunnel(
        "placed", location="swiss", command=leaky.command(), app=beside, gateway=_PLACE
    ) as tunnel:
        assert tunnel.gateway.node == tunnel.app.node == worker
        assert tunnel.gateway.get()["spec"]["priorityClassName"] == _PRIORITY
        left = leaky.Leaky.in_pod(tunnel.app)
        before = tunnel.gateway.uid, tunnel.app.uid
        kubectl.run("label", "nodes", "--all", "--overwrite", f"{_KEY}=here")
        with leaks.nothing_leaves(tunnel.ordinary):
            with without_kubelet(worker):
                for kind, name, namespace in (
                    ("piavpn", tunnel.vpn, None),
                    ("vpnapp", "probe", tunnel.app.namespace),
                ):
                    told = waiting.eventually(
                        lambda k=kind, n=name, s=namespace: lost(k, n, s),
                        "the owner is told",
                        timeout=120,
                    )
                    assert f"kubectl delete node {worker}" in told
                left.wait_for_answers()
                assert (tunnel.gateway.uid, tunnel.app.uid) == before

                give_up(worker)
                for pod, uid in zip((tunnel.gateway, tunnel.app), before, strict=True):
                    waiting.eventually(
                        lambda p=pod, u=uid: p.uid not in {"", u},
                        f"another {pod.name}",
                        timeout=180,
                    )
                kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace, seconds=120)
                assert tunnel.gateway.node == tunnel.app.node != worker
                left.wait_for_rounds(2)
                leaky.Leaky.in_pod(tunnel.app).wait_for_answers()
            waiting.eventually(
                lambda: not nodes.runs(worker, before[1]),
                "the pod that was left behind has ended",
                timeout=120,
            )
            leaky.Leaky.in_pod(tunnel.app).wait_for_answers()


def test_an_app_goes_on_when_the_node_of_its_gateway_is_gone(
    worker: str, leaks: judge.Judge
) -> None:
    """The gateway that was left behind runs on, too, and is not asked any more."""
    with apart.tunnel(
        "widowed", gateway_on=worker, tolerations=_PLACE["tolerations"], command=leaky.command()
    ) as tunnel:
        before, left = tunnel.app.container_id, tunnel.gateway.uid
        app = leaky.Leaky.in_pod(tunnel.app)
        app.wait_for_answers()
        with leaks.nothing_leaves(tunnel.ordinary):
            with without_kubelet(worker):
                for kind, name, namespace in (
                    ("piavpn", tunnel.vpn, None),
                    ("vpnapp", "probe", tunnel.app.namespace),
                ):
                    waiting.eventually(
                        lambda k=kind, n=name, s=namespace: lost(k, n, s),
                        "the owner is told",
                        timeout=120,
                    )
                app.wait_for_answers()
                kubectl.run("label", "nodes", "--all", "--overwrite", f"test-{tunnel.vpn}=here")

                delete(worker)
                waiting.eventually(
                    lambda: tunnel.gateway.uid not in {"", left}, "another gateway", timeout=180
                )
                kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace, seconds=120)
                assert nodes.runs(worker, left)
                app.wait_for_answers()
            waiting.eventually(
                lambda: not nodes.runs(worker, left),
                "the gateway that was left behind has ended",
                timeout=120,
            )
            app.wait_for_answers()
        assert tunnel.app.container_id == before


def lost(kind: str, name: str, namespace: str | None) -> str:
    found = kubectl.condition(kind, name, "Ready", namespace)
    assert (found.get("status"), found.get("reason")) == ("Unknown", "NodeLost"), found
    return str(found["message"])


@contextlib.contextmanager
def without_kubelet(node: str) -> Iterator[None]:
    """Keep the node's kubelet from its work for the time of a block, and have it back after."""
    nodes.run(node, "systemctl", "stop", "kubelet")
    try:
        yield
    finally:
        nodes.run(node, "systemctl", "start", "kubelet")
        waiting.eventually(lambda: kubectl.get("node", node), f"{node} is registered")
        kubectl.wait_for("node", node, "Ready", seconds=120)
        untaint(node, _OUT_OF_SERVICE.partition("=")[0])
