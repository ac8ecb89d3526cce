"""Nothing leaks while a part of the system is dead, and the app's traffic comes back.

The app of these tests tries to leak all the time and transfers all the time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import judge, kubectl, leaky, nodes, probes, product, waiting

pytestmark = pytest.mark.owns_nodes

_STATIC_POD = "kubernetes.io/config.hash"
"""What the kubelet knows a static pod by: the UID in the API is that of its mirror."""


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel on the node that has no API server, so that either can fail alone."""
    control_plane = f"{os.environ['PIAVPN_CLUSTER']}-control-plane"
    kubectl.run("cordon", control_plane)
    try:
        with probes.tunnel(
            "faults", location="nl_amsterdam", fallbackLocations=["panama"],
            command=leaky.command(),
        ) as made:  # fmt: skip
            kubectl.run("uncordon", control_plane)
            yield made
    finally:
        kubectl.run("uncordon", control_plane)


@pytest.fixture
def app(tunnel: probes.Tunnel) -> leaky.Leaky:
    """Return the app, whose traffic flows."""
    kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    found = leaky.Leaky.in_pod(tunnel.app)
    found.wait_for_answers()
    return found


def test_nothing_leaks_when_the_gateways_process_is_killed(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    with leaks.nothing_leaves(tunnel.ordinary):
        product.kill(tunnel.gateway.get(), "piavpn gateway")
        app.wait_for_answers()


def test_nothing_leaks_when_the_gateways_pod_is_deleted(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = tunnel.app.uid
    with leaks.nothing_leaves(tunnel.ordinary):
        product.delete(tunnel.gateway)
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app.wait_for_answers()
    assert tunnel.app.uid == before


def test_nothing_leaks_when_the_gateway_is_evicted(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    pod = tunnel.gateway
    metadata = {"name": pod.name, "namespace": pod.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction"
    with leaks.nothing_leaves(tunnel.ordinary):
        before = pod.uid
        kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        product.replaced(pod, before)
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app.wait_for_answers()


def test_nothing_leaks_or_breaks_when_the_nodes_agent_is_killed(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = app.told()
    with leaks.nothing_leaves(tunnel.ordinary):
        product.kill(product.agent_on(app.node), "piavpn node-agent")
        app.wait_for_rounds()
        app.wait_for_answers()
    assert app.told().broken == before.broken


def test_nothing_leaks_or_breaks_when_the_operator_is_killed(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = app.told()
    with leaks.nothing_leaves(tunnel.ordinary):
        (operator,) = product.pods(product.OPERATOR)
        product.kill(operator, "piavpn operator")
        app.wait_for_rounds()
        app.wait_for_answers()
    assert app.told().broken == before.broken


def test_nothing_leaks_while_no_pia_server_answers(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge, pia: client.Client
) -> None:
    with leaks.nothing_leaves(tunnel.ordinary):
        with pia.failing({"server": {"*": "dead"}}):
            kubectl.wait_for("piavpn", tunnel.vpn, "TunnelUp=false")
            app.wait_for_rounds(2)
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app.wait_for_answers()


def test_nothing_leaks_when_the_pia_server_goes(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge, pia: client.Client
) -> None:
    left = tunnel.status()["session"]
    with (
        leaks.nothing_leaves(tunnel.ordinary),
        pia.failing({"server": {left["server"]: "dead"}}),
    ):
        waiting.eventually(
            lambda: tunnel.status().get("session", left)["server"] != left["server"],
            "another server is taken",
        )
        app.wait_for_answers()


def test_nothing_leaks_while_the_api_server_is_stopped(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    """And it starts again without one."""
    gateway = tunnel.gateway.get()
    (server,) = kubectl.items("pods", "-n", "kube-system", "-l", "component=kube-apiserver")
    node, uid = server["spec"]["nodeName"], server["metadata"]["annotations"][_STATIC_POD]
    before = app.told()
    with leaks.nothing_leaves(tunnel.ordinary):
        nodes.kill(node, uid, "kube-apiserver", signal="STOP")
        try:
            with pytest.raises(kubectl.KubectlError):
                kubectl.run("get", "--raw", "/readyz", "--request-timeout=2s")
            app.wait_for_rounds()
            app.wait_for_answers()
            assert app.told().broken == before.broken

            nodes.kill(gateway["spec"]["nodeName"], gateway["metadata"]["uid"], "piavpn gateway")
            app.wait_for_answers()
        finally:
            nodes.kill(node, uid, "kube-apiserver", signal="CONT")
        waiting.eventually(_api_answers, "the API server answers again")
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app.wait_for_answers()


def test_nothing_leaks_when_the_node_is_restarted(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    """All of its pods come back, confined as before."""
    before = tunnel.app.container_id
    with leaks.nothing_leaves(tunnel.ordinary):
        nodes.restart(tunnel.app.node)
        waiting.eventually(
            lambda: tunnel.app.container_id not in {"", before},
            "the app was started again",
            timeout=180,
        )
        kubectl.wait_for("pod", tunnel.app.name, "Ready", tunnel.app.namespace)
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app = leaky.Leaky.in_pod(tunnel.app)
        app.wait_for_rounds()
        app.wait_for_answers()


def _api_answers() -> bool:
    try:
        return kubectl.run("get", "--raw", "/readyz", "--request-timeout=2s") == "ok"
    except kubectl.KubectlError:
        return False
