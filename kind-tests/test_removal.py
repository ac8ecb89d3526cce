"""Deleting the custom resources removes all that was made for them, and they can come back."""

from __future__ import annotations

import json

import pytest

from harness import kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes


def test_nothing_is_left_behind_and_the_same_objects_work_again() -> None:
    for node in nodes.names():
        waiting.eventually(lambda n=node: _is_settled(n), f"{node} has only what is in use")
    before = {node: _traces(node) for node in nodes.names()}
    for _ in range(2):
        with probes.tunnel("passing", location="us_chicago") as tunnel:
            assert tunnel.app.tcp() == tunnel.server_address
            assert "br-passing" in nodes.links(tunnel.app.node)
        waiting.eventually(lambda: _objects("passing") == [], "the objects of the VPN are gone")
        for node, traces in before.items():
            waiting.eventually(
                lambda n=node, t=traces: _same(_traces(n), t), f"{node} is as it was"
            )


def test_a_deleted_vpn_leaves_its_app_locked_in() -> None:
    """And the app goes on by itself when the VPN comes back."""
    with probes.tunnel("orphan", location="us_chicago") as tunnel:
        vpn = manifests.pia_vpn("orphan", secret="test-orphan", location="us_chicago")

        kubectl.delete(vpn)

        refusal = kubectl.wait_for_reason(
            "vpnapp", "probe", "Accepted", "VpnNotFound", tunnel.app.namespace
        )
        assert "no PiaVpn named orphan" in refusal["message"]
        waiting.eventually(
            lambda: tunnel.app.tcp().startswith("failed"), "the tunnel is gone for the app"
        )
        assert not tunnel.ordinary.tcp(device="eth0").startswith("failed")
        assert tunnel.app.tcp(device="eth0").startswith("failed")

        kubectl.apply(vpn)

        kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
        waiting.eventually(
            lambda: tunnel.app.tcp() == tunnel.server_address, "the app is back on the Internet"
        )


def _is_settled(node: str) -> bool:
    """Tell whether VPNs of earlier tests are gone: a bridge is kept a while after its last pod."""
    known = {vpn["metadata"]["name"] for vpn in kubectl.items("piavpns")}
    folders = set(nodes.run(node, "ls", "/run/piavpn").split())
    bridges = {link.removeprefix("br-") for link in nodes.links(node) if link.startswith("br-")}
    assert folders | bridges <= known, (folders, bridges)
    return True


def _traces(node: str) -> dict[str, object]:
    """Return what an agent could have left on a node, apart from what pods bring by themselves."""
    rules = json.loads(nodes.run(node, "ip", "-json", "rule"))
    return {
        "links": nodes.links(node),
        "tables": nodes.rule_sets(node),
        "rules": sorted(json.dumps(rule, sort_keys=True) for rule in rules),
        "folders": nodes.run(node, "find", "/run/piavpn", "-mindepth", "1").split(),
        "daemons": sorted(
            p for p in nodes.processes(node) if "wireguard-go" in p or "tinyproxy" in p
        ),
        "forward": nodes.run(node, "sh", "-c", "iptables-save | grep -i piavpn || true"),
    }


def _same(found: dict[str, object], wanted: dict[str, object]) -> bool:
    differences = {key: (found[key], wanted[key]) for key in wanted if found[key] != wanted[key]}
    assert not differences, differences
    return True


def _objects(vpn: str) -> list[str]:
    listed = kubectl.run(
        "get", "statefulsets,services,configmaps,secrets,pods", "-A", "-o", "name",
        "-l", f"piavpn.dev/gateway={vpn}",
    )  # fmt: skip
    account = kubectl.get("secret", f"piavpn-account-test-{vpn}", manifests.SYSTEM)
    return listed.split() + (["account"] if account else [])
