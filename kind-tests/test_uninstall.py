"""Whatever is removed first, nothing hangs and nothing leaks, and it can be installed again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import judge, kubectl, leaky, manifests, nodes, probes, product, waiting

pytestmark = [pytest.mark.owns_nodes, pytest.mark.disruptive]

_LABELS = ("piavpn.dev/vpn=removed", "piavpn.dev/gateway=removed")
_CRDS = ("piavpns.piavpn.dev", "vpnservicecontainers.piavpn.dev")


def delete(*arguments: str) -> None:
    """Delete, and wait until it is gone: whatever a finalizer holds back fails here."""
    kubectl.run("delete", *arguments, "--timeout=120s", timeout=150)


def namespace(tunnel: probes.Tunnel) -> None:
    delete("namespace", manifests.SYSTEM)
    custom_resources(tunnel)


def operator_and_agents(tunnel: probes.Tunnel) -> None:
    delete(product.OPERATOR, product.AGENT, "-n", manifests.SYSTEM)
    custom_resources(tunnel)


def custom_resource_definitions(_: probes.Tunnel) -> None:
    delete("crd", *_CRDS)


def custom_resources(tunnel: probes.Tunnel) -> None:
    delete("vpnapp", "probe", "-n", tunnel.app.namespace)
    delete("piavpn", tunnel.vpn)


@pytest.mark.parametrize("remove", [namespace, operator_and_agents, custom_resource_definitions])
def test_nothing_hangs_or_leaks_whatever_is_removed_first(
    leaks: judge.Judge, remove: Callable[[probes.Tunnel], None]
) -> None:
    with probes.tunnel("removed", location="swiss", command=leaky.command()) as tunnel:
        leaky.Leaky.in_pod(tunnel.app).wait_for_answers()
        try:
            with leaks.nothing_leaves(tunnel.ordinary):
                remove(tunnel)
                waiting.eventually(nothing_is_left, "all that was made for it is gone", timeout=120)
        finally:
            product.deploy()
        waiting.eventually(nodes_are_clean, "new agents remove the bridge", timeout=120)


def nodes_are_clean() -> bool:
    return not any("br-removed" in nodes.links(node) for node in nodes.names())


def nothing_is_left() -> bool:
    kinds = "pods,statefulsets,services,networkpolicies,configmaps"
    found = [
        f"{item['kind']} {item['metadata']['name']}"
        for label in _LABELS
        for item in kubectl.items(kinds, "-A", "-l", label)
    ]
    assert not found, found
    return True
