"""An app does not start before its confinement is proven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, probes, waiting

_AGENT = "daemonset/piavpn-node-agent"
_NOWHERE = '{"spec":{"template":{"spec":{"nodeSelector":{"piavpn.dev/nowhere":"true"}}}}}'
_EVERYWHERE = '{"spec":{"template":{"spec":{"nodeSelector":null}}}}'


@pytest.fixture
def without_agents() -> Iterator[None]:
    """Take the node agents away, and bring them back."""
    _patch_agents(_NOWHERE)
    waiting.eventually(lambda: not _agents(), "the agents are gone")
    yield
    _patch_agents(_EVERYWHERE)
    kubectl.run("-n", manifests.SYSTEM, "rollout", "status", _AGENT, "--timeout=90s")


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

    _patch_agents(_EVERYWHERE)

    kubectl.wait_for("vpnapp", "late", "Ready", steady.app.namespace)
    assert probes.Pod("late-0", steady.app.namespace).tcp() == steady.server_address


def _gate_log(pod: str, steady: probes.Tunnel) -> str:
    try:
        return kubectl.run("logs", pod, "-n", steady.app.namespace, "-c", "piavpn-gate")
    except kubectl.KubectlError:  # not started yet
        return ""


def _patch_agents(patch: str) -> None:
    kubectl.run("-n", manifests.SYSTEM, "patch", _AGENT, "--type=merge", "-p", patch)


def _agents() -> list[kubectl.Object]:
    return kubectl.items(
        "pods", "-n", manifests.SYSTEM, "-l", "app.kubernetes.io/name=piavpn-node-agent"
    )
