"""Nothing of an app on another node leaks while a part of what joins the nodes is dead.

The app tries to leak all the time and transfers all the time; its gateway is on the other node.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import (
    apart,
    capture,
    judge,
    kubectl,
    labelled,
    leaky,
    nodes,
    probes,
    product,
    waiting,
)

pytestmark = pytest.mark.owns_nodes

VPN, NAMESPACE = "afar", "test-afar"
_ASK = f"import urllib.request as r; print(r.urlopen('http://{probes.WHO_AM_I}/').read().decode())"


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    gateway_on, _ = apart.places()
    with apart.tunnel(VPN, gateway_on=gateway_on, command=leaky.command()) as made:
        yield made


@pytest.fixture
def app(tunnel: probes.Tunnel) -> leaky.Leaky:
    """Return the app, whose traffic flows."""
    found = leaky.Leaky.in_pod(tunnel.app)
    found.wait_for_answers()
    return found


def test_the_judge_sees_what_would_join_the_bridges_with_a_host_that_is_no_node(
    tunnel: probes.Tunnel, uplinks: capture.Uplinks
) -> None:
    """The control of all tests here: between nodes alone such packets count as the cluster's."""
    node = tunnel.app.node
    stranger = nodes.lan_host(node)
    marker = uplinks.mark()
    for port in apart.PORTS:
        nodes.run(node, "bash", "-c", f"echo >/dev/udp/{stranger}/{port}")
        nodes.run(
            node, "bash", "-c", f"echo >/dev/udp/{nodes.address_of(tunnel.gateway.node)}/{port}"
        )
    seen = uplinks.since(marker)
    assert [line.partition(" > ")[2].partition(":")[0] for line in seen] == [
        f"{stranger}.{port}" for port in apart.PORTS
    ]


def test_pods_by_label_leave_by_the_tunnel_alone_from_both_nodes(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}},
    }
    chart = labelled.workload(
        "Deployment", "chart", VPN,
        {
            **_on(tunnel.app.node),
            "initContainers": [
                labelled.container("early", "python3", "-c", _ASK),
                labelled.container("sidecar", restartPolicy="Always"),
            ],
            "containers": [labelled.container("app", *leaky.command())],
        },
    )  # fmt: skip
    three = labelled.workload(
        "StatefulSet", "spread", VPN,
        {
            "topologySpreadConstraints": [spread],
            "containers": [labelled.container("app", *leaky.command())],
        },
        replicas=3,
        podManagementPolicy="Parallel",
    )  # fmt: skip
    asking = labelled.container("app", "python3", "-c", _ASK)
    job = labelled.workload(
        "Job", "job", VPN,
        {**_on(tunnel.app.node), "restartPolicy": "Never", "containers": [asking]},
    )  # fmt: skip

    with leaks.nothing_leaves(tunnel.ordinary):
        kubectl.apply(chart, three, job)
        for each in (chart, three):
            labelled.wait_for(each)
        pods = [*labelled.pods_of(chart), *labelled.pods_of(three)]
        assert {pod["spec"]["nodeName"] for pod in labelled.pods_of(three)} == set(apart.places())
        for pod in pods:
            found = probes.Pod(pod["metadata"]["name"], NAMESPACE)
            leaky.Leaky.in_pod(found).wait_for_answers()
        kubectl.wait_for("job", "job", "Complete", NAMESPACE)

    for name, container in (("job/job", "app"), ("deployment/chart", "early")):
        said = kubectl.run("logs", name, "-n", NAMESPACE, "-c", container)
        assert said.split() == [tunnel.server_address], name
    kubectl.delete(chart, three, job)


@pytest.mark.parametrize("side", ["app", "gateway"])
def test_nothing_leaks_or_breaks_when_the_agent_of_either_node_is_killed(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge, side: str
) -> None:
    node = {"app": tunnel.app, "gateway": tunnel.gateway}[side].node
    before = app.told()
    with leaks.nothing_leaves(tunnel.ordinary):
        product.kill(product.agent_on(node), "piavpn node-agent")
        app.wait_for_rounds()
        app.wait_for_answers()
    assert app.told().broken == before.broken


def test_nothing_leaks_when_the_gateways_pod_is_deleted(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = tunnel.app.uid
    with leaks.nothing_leaves(tunnel.ordinary):
        product.delete(tunnel.gateway)
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
        app.wait_for_answers()
    assert tunnel.app.uid == before


def test_an_app_that_is_cut_off_from_its_gateways_node_is_offline(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = tunnel.app.container_id
    with leaks.nothing_leaves(tunnel.ordinary):
        with apart.cut(tunnel.app.node):
            app.wait_for_rounds()
            answers = app.told().answers
            app.wait_for_rounds(2)
            assert app.told().answers == answers
        app.wait_for_answers()
    assert tunnel.app.container_id == before


def test_nothing_leaks_when_the_apps_node_is_restarted(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    before = tunnel.app.container_id
    with leaks.nothing_leaves(tunnel.ordinary):
        nodes.restart(tunnel.app.node)
        waiting.eventually(
            lambda: tunnel.app.container_id not in {"", before},
            "the app was started again",
            timeout=180,
        )
        kubectl.wait_for("pod", tunnel.app.name, "Ready", tunnel.app.namespace)
        found = leaky.Leaky.in_pod(tunnel.app)
        found.wait_for_rounds()
        found.wait_for_answers()


def _on(node: str) -> kubectl.Object:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}
