"""An app does not start before its confinement is proven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import agents, kubectl, manifests, probes, waiting


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


def _gate_log(pod: str, steady: probes.Tunnel) -> str:
    try:
        return kubectl.run("logs", pod, "-n", steady.app.namespace, "-c", "piavpn-gate")
    except kubectl.KubectlError:  # not started yet
        return ""
