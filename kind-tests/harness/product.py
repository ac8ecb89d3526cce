"""The product's own parts, killed or taken away and brought back, and its apps' pods changed."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
from collections.abc import Iterator

from harness import kubectl, manifests, nodes, probes, waiting

_DEPLOY = pathlib.Path(__file__).parents[1] / "deploy"
OPERATOR, AGENT = "deployment/piavpn-operator", "daemonset/piavpn-node-agent"


def pods(part: str) -> list[kubectl.Object]:
    """Return the pods of OPERATOR or AGENT."""
    label = f"app.kubernetes.io/name={part.partition('/')[2]}"
    return kubectl.items("pods", "-n", manifests.SYSTEM, "-l", label)


def agent_on(node: str) -> kubectl.Object:
    """Return the agent's pod on a node."""
    (found,) = [pod for pod in pods(AGENT) if pod["spec"]["nodeName"] == node]
    return found


def deploy() -> None:
    """Install all of the product again, of the image that these tests run with."""
    subprocess.run([_DEPLOY], check=True, capture_output=True, timeout=300)


def python_in_network_of(pod: probes.Pod, program: str, *arguments: str) -> str:
    """Run a Python program in a pod's network, but with all rights: the agent's on its node."""
    agent = agent_on(pod.node)["metadata"]["name"]
    namespace = nodes.namespace_of(pod.node, pod.uid)
    return kubectl.execute(
        agent, manifests.SYSTEM, "node-agent",
        "nsenter", f"--net={namespace}", "python3", "-c", program, *arguments,
    )  # fmt: skip


def kill(pod: kubectl.Object, command: str) -> None:
    """Kill a process of a pod of the product and wait until its container was started again."""
    name, before = pod["metadata"]["name"], _restarts(pod)
    nodes.kill(pod["spec"]["nodeName"], pod["metadata"]["uid"], command)

    def again() -> bool:
        found = kubectl.get("pod", name, manifests.SYSTEM)
        return found is not None and _restarts(found) > before

    waiting.eventually(again, f"{name} was started again")
    kubectl.wait_for("pod", name, "Ready", manifests.SYSTEM)


def replaced(pod: probes.Pod, uid: str) -> None:
    """Wait until a pod of that name that is another one is ready."""
    waiting.eventually(lambda: pod.uid not in {"", uid}, f"another pod {pod.name}")
    kubectl.wait_for("pod", pod.name, "Ready", pod.namespace)


def delete(pod: probes.Pod) -> None:
    """Delete a pod and wait until another one of its name is ready."""
    before = pod.uid
    kubectl.run("delete", "pod", pod.name, "-n", pod.namespace)
    replaced(pod, before)


def restart(*parts: str) -> None:
    """Have all pods of OPERATOR or AGENT or both replaced, as an upgrade does."""
    kubectl.run("rollout", "restart", *parts, "-n", manifests.SYSTEM)
    for part in parts:
        _wait_for(part)


@contextlib.contextmanager
def without_operator() -> Iterator[None]:
    """Have no operator for the time of a block."""
    scale = ("scale", OPERATOR, "-n", manifests.SYSTEM)
    kubectl.run(*scale, "--replicas=0")
    try:
        waiting.eventually(lambda: not pods(OPERATOR), "the operator is gone")
        yield
    finally:
        kubectl.run(*scale, "--replicas=1")
        _wait_for(OPERATOR)


@contextlib.contextmanager
def without_admission() -> Iterator[None]:
    """Let every pod in for the time of a block, so that the node agent is all that judges it."""
    binding = ("validatingadmissionpolicybinding", "piavpn-confined-pods")
    found = kubectl.get(*binding)
    assert found is not None
    kubectl.run("delete", *binding)
    try:
        yield
    finally:
        metadata = {"name": found["metadata"]["name"]}
        kubectl.apply({**found, "metadata": metadata})


@contextlib.contextmanager
def edited(app: probes.Pod, **pod_spec: object) -> Iterator[None]:
    """Change the pod's template behind the operator's back for the time of a block.

    Whoever may edit StatefulSets can do that. Afterwards the pod is as it was declared.
    """
    name = app.name.removesuffix("-0")
    patch = json.dumps({"spec": {"template": {"spec": pod_spec}}})
    with without_operator(), without_admission():
        try:
            # By the name of the containers, as `kubectl edit` does.
            kubectl.run("patch", "statefulset", name, "-n", app.namespace, "-p", patch)
            declared = app.uid
            kubectl.run("delete", "pod", app.name, "-n", app.namespace)
            waiting.eventually(lambda: app.uid not in {"", declared}, f"another pod {app.name}")
            yield
        finally:
            edited = app.uid
            kubectl.run("delete", "statefulset", name, "-n", app.namespace, "--cascade=foreground")
    replaced(app, edited)


@contextlib.contextmanager
def given_template(app: probes.Pod, **pod_spec: object) -> Iterator[None]:
    """Have a ready pod with this `spec.template` of the app's own for the time of a block."""
    _give(app, {"spec": pod_spec})
    try:
        yield
    finally:
        _give(app, None)


def _give(app: probes.Pod, template: kubectl.Object | None) -> None:
    before = app.uid
    patch = json.dumps({"spec": {"template": template}})
    name = app.name.removesuffix("-0")
    kubectl.run("patch", "vpnapp", name, "-n", app.namespace, "--type=merge", "-p", patch)
    replaced(app, before)


def _restarts(pod: kubectl.Object) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))


def _wait_for(part: str) -> None:
    kubectl.run("rollout", "status", part, "-n", manifests.SYSTEM, "--timeout=90s")
