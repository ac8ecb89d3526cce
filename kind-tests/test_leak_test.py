"""The continuous leak test, and the node agent's metrics, read where Prometheus reads them."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

# Nothing that the watch looks for: a link of somebody else's, and IPv6.
_OPEN_A_WAY_OUT = (
    "ip link add net1 type bridge && ip link set net1 up"
    " && echo 0 >/proc/sys/net/ipv6/conf/net1/disable_ipv6 && ip -6 route add 2001:db8::1 dev net1"
)


@pytest.fixture
def tunnel() -> Iterator[probes.Tunnel]:
    with probes.tunnel("leaktest", location="swiss") as made:
        yield made


def test_an_app_is_found_to_be_leak_free(steady: probes.Tunnel) -> None:
    kubectl.wait_for("vpnapp", "probe", "LeakFree", steady.app.namespace)

    told = kubectl.condition("vpnapp", "probe", "LeakFree", steady.app.namespace)

    assert told["reason"] == "NothingLeaked"
    assert re.fullmatch(
        r"\d\d attempts to get out past the tunnel failed; raw frames are dropped on the node's"
        r" side",
        told["message"],
    )


def test_what_the_leak_test_sends_is_counted_apart_from_what_the_app_tries(
    steady: probes.Tunnel,
) -> None:
    kubectl.wait_for("vpnapp", "probe", "LeakFree", steady.app.namespace)
    before = _metrics(steady)
    # A change of any kind has the pod tested anew.
    _in_pod(steady.app, "ip addr add 127.0.0.5/8 dev lo")
    runs = 'leak_test_runs_total{result="passed"}'
    tested = waiting.eventually(
        lambda: _newer(steady, before, runs), "another test of the pod, and nothing leaked"
    )
    _in_pod(steady.app, "ip addr del 127.0.0.5/8 dev lo")

    assert (
        tested['probe_packets_total{reason="ipv4"}'] > before['probe_packets_total{reason="ipv4"}']
    )
    assert _drops(tested) == _drops(before)
    assert tested["leak_test_passed{}"] == tested["pod_confined{}"] == 1

    assert steady.app.udp(device="eth0").startswith("failed")
    by_link = 'dropped_packets_total{reason="cluster_link"}'
    tried = waiting.eventually(lambda: _newer(steady, tested, by_link), "the app's drop is counted")
    assert tried[by_link] == tested[by_link] + 1


def test_an_app_from_which_something_gets_out_is_cut_off_and_replaced(
    tunnel: probes.Tunnel,
) -> None:
    namespace = tunnel.app.namespace
    kubectl.wait_for("vpnapp", "probe", "LeakFree", namespace)
    before = tunnel.app.get()["metadata"]["uid"]

    _in_pod(tunnel.app, _OPEN_A_WAY_OUT)

    def told() -> str:
        found = kubectl.items("events", "-n", namespace, "--field-selector=reason=Tampered")
        return found[0]["message"] if found else ""

    waiting.eventually(told, "an Event of the leak", timeout=20)
    assert "the route to 2001:db8::1 leads out by net1: the pod is cut off" in told()

    def replaced() -> bool:
        found = kubectl.get("pod", tunnel.app.name, namespace) or {}
        return found.get("metadata", {}).get("uid") not in {None, before}

    waiting.eventually(replaced, "another pod")
    kubectl.wait_for("vpnapp", "probe", "Ready", namespace)
    kubectl.wait_for("vpnapp", "probe", "LeakFree", namespace)
    assert tunnel.app.tcp() == tunnel.server_address


def _in_pod(pod: probes.Pod, command: str) -> None:
    nodes.run_in_namespace_of(pod.node, pod.get()["metadata"]["uid"], "sh", "-c", command)


def _metrics(tunnel: probes.Tunnel) -> dict[str, float]:
    """Return the app's metrics, without their common prefix and labels."""
    found = {}
    for name, given, value in re.findall(
        r"^piavpn_(\w+){(.*)} (\S+)$", _scrape(tunnel.app.node), re.MULTILINE
    ):
        labels = dict(re.findall(r'(\w+)="(.*?)"', given))
        owner = labels.pop("namespace", ""), labels.pop("service", "")
        if owner == (tunnel.app.namespace, "probe"):
            rest = ",".join(f'{label}="{word}"' for label, word in labels.items())
            found[f"{name}{{{rest}}}"] = float(value)
    return found


def _newer(tunnel: probes.Tunnel, before: dict[str, float], name: str) -> dict[str, float] | None:
    found = _metrics(tunnel)
    return found if found[name] > before[name] else None


def _drops(metrics: dict[str, float]) -> dict[str, float]:
    return {k: value for k, value in metrics.items() if k.startswith("dropped_packets_total")}


def _scrape(node: str) -> str:
    """Ask where the pod's annotations send Prometheus."""
    agent = "app.kubernetes.io/name=piavpn-node-agent"
    (pod,) = kubectl.items(
        "pods", "-n", manifests.SYSTEM, "-l", agent, f"--field-selector=spec.nodeName={node}"
    )
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    url = f"http://{pod['status']['podIP']}:{annotations['prometheus.io/port']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read(), "utf-8")
