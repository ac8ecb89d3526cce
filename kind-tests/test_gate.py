"""An app does not start before its confinement is proven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import agents, kubectl, manifests, nodes, probes, waiting


@pytest.fixture
def without_agents() -> Iterator[None]:
    """Take the node agents away, and bring them back."""
    with agents.away():
        yield


@pytest.mark.usefixtures("without_agents")
def test_an_app_waits_where_the_agent_is_missing_and_starts_when_it_comes(
    steady: probes.Tunnel, request: pytest.FixtureRequest
) -> None:
    late = manifests.app("late", steady.app.namespace, steady.vpn)
    request.addfinalizer(lambda: kubectl.delete(late))
    kubectl.apply(late)

    log = waiting.eventually(lambda: _gate_log("late-0", steady), "the gate says what it waits for")

    assert "vpn0" in log
    pod = probes.Pod("late-0", steady.app.namespace).get()
    assert "running" in pod["status"]["initContainerStatuses"][0]["state"]
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]
    assert steady.app.tcp() == steady.server_address  # the tunnel needs no agent to go on

    agents.bring_back()

    kubectl.wait_for("vpnapp", "late", "Ready", steady.app.namespace)
    assert probes.Pod("late-0", steady.app.namespace).tcp() == steady.server_address


@pytest.mark.owns_nodes
def test_the_pod_and_the_app_s_ready_say_which_check_the_gate_waits_for(
    steady: probes.Tunnel, request: pytest.FixtureRequest
) -> None:
    gateway = steady.gateway.get()["metadata"]["uid"]
    late = manifests.app("late", steady.app.namespace, steady.vpn)
    request.addfinalizer(lambda: kubectl.delete(late))
    for line in _MUTE_RESOLVER:
        nodes.run_in_namespace_of(steady.gateway.node, gateway, "nft", line)
    request.addfinalizer(
        lambda: nodes.run_in_namespace_of(
            steady.gateway.node,
            gateway,
            "nft",
            "add table inet test_mute; delete table inet test_mute",
        )
    )
    kubectl.apply(late)

    said = waiting.eventually(
        lambda: _said("pod", "late-0", "piavpn.dev/GatePassed", steady, "resolver"),
        "the pod's condition says it",
    )
    assert "does not answer" in said
    waiting.eventually(
        lambda: said in _said("vpnapp", "late", "Ready", steady, "resolver"), "and so does Ready"
    )

    nodes.run_in_namespace_of(steady.gateway.node, gateway, "nft", "delete table inet test_mute")

    kubectl.wait_for("vpnapp", "late", "Ready", steady.app.namespace)
    kubectl.wait_for("pod", "late-0", "piavpn.dev/GatePassed", steady.app.namespace)


_MUTE_RESOLVER = (
    "add table inet test_mute",
    "add chain inet test_mute input { type filter hook input priority 0; }",
    "add rule inet test_mute input iifname vpn0 udp dport 53 drop",
)


def _said(kind: str, name: str, type_: str, steady: probes.Tunnel, word: str) -> str:
    """Return the message of a condition that is False and speaks of this; else nothing."""
    found = kubectl.condition(kind, name, type_, steady.app.namespace)
    message = found.get("message", "")
    return message if found.get("status") == "False" and word in message else ""


def _gate_log(pod: str, steady: probes.Tunnel) -> str:
    try:
        return kubectl.run("logs", pod, "-n", steady.app.namespace, "-c", "piavpn-gate")
    except kubectl.KubectlError:  # not started yet
        return ""
