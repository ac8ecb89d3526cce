"""A condition proves nothing once its writer is gone: a silent node agent makes it Unknown."""

from __future__ import annotations

from harness import agents, kubectl, manifests, probes, waiting

SILENT = ("Unknown", "NodeAgentSilent")


def test_nobody_vouches_for_an_app_while_its_node_s_agent_is_silent(
    steady: probes.Tunnel,
) -> None:
    app = steady.app
    kubectl.wait_for("pod", app.name, "piavpn.dev/Confined", app.namespace)
    kubectl.wait_for("vpnapp", "probe", "Confined", app.namespace)

    with agents.away():
        waiting.eventually(
            lambda: state(steady, "Ready") == SILENT, "the app's Ready is Unknown", timeout=90
        )
        assert state(steady, "Confined") == SILENT
        told = kubectl.condition("vpnapp", "probe", "Ready", app.namespace)["message"]
        assert app.node in told
        assert "piavpn-node-agent" in told
        for kind in ("GatewayAttached", "Ready"):
            found = kubectl.condition("piavpn", steady.vpn, kind)
            assert (found["status"], found["reason"]) == SILENT
        # What the pod says of itself is the last word of the agent, and the app goes on.
        assert kubectl.condition("pod", app.name, "piavpn.dev/Confined", app.namespace)
        assert app.tcp() == steady.server_address

    kubectl.wait_for("vpnapp", "probe", "Ready", app.namespace)
    kubectl.wait_for("piavpn", steady.vpn, "Ready")
    assert state(steady, "Confined") == ("True", "Attached")


def test_the_agent_of_each_node_renews_a_lease_that_goes_with_its_node(
    steady: probes.Tunnel,
) -> None:
    def renewed() -> str:
        lease = kubectl.get("lease", f"piavpn-node-agent-{steady.app.node}", manifests.SYSTEM) or {}
        return str((lease.get("spec") or {}).get("renewTime"))

    first = renewed()
    waiting.eventually(lambda: renewed() != first, "the Lease is renewed")
    lease = kubectl.get("lease", f"piavpn-node-agent-{steady.app.node}", manifests.SYSTEM) or {}
    (owner,) = lease["metadata"]["ownerReferences"]
    node = kubectl.get("node", steady.app.node) or {}
    assert (owner["kind"], owner["uid"]) == ("Node", node["metadata"]["uid"])


def state(tunnel: probes.Tunnel, kind: str) -> tuple[str, str]:
    """Return status and reason of the app's condition."""
    found = kubectl.condition("vpnapp", "probe", kind, tunnel.app.namespace)
    return found.get("status", ""), found.get("reason", "")
