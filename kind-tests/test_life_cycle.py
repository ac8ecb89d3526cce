"""What was made comes back when somebody edits or deletes it, and all of it from a backup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import kubectl, manifests, probes, product, waiting

pytestmark = pytest.mark.owns_nodes

_SHARED = "statefulsets,services,networkpolicies,configmaps"
_EDITS: dict[str, dict[str, Any]] = {
    "StatefulSet": {"spec": {"updateStrategy": {"type": "RollingUpdate"}}},
    "Service": {"spec": {"selector": {"app": "mine"}}},
    "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": {"app": "mine"}}}},
    "ConfigMap": {"data": {"config.json": "{}"}},
}
_LABELS = ("piavpn.dev/vpn=kept", "piavpn.dev/gateway=kept")
_WAITS = {
    "name": "restore-wait",
    "command": ["true"],
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    },
}


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel with a proxy, and an app with a Service."""
    ports = [{"name": "web", "port": 8080}]
    with probes.tunnel("kept", location="us_chicago", httpProxy={"port": 8888}) as made:
        kubectl.apply(manifests.app("probe", made.app.namespace, made.vpn, ports=ports))
        waiting.eventually(children, "its Service is made")
        yield made


def children() -> dict[tuple[str, str], kubectl.Object]:
    """Return all that was made, by kind and name."""
    found = {
        (item["kind"], item["metadata"]["name"]): item
        for label in _LABELS
        for item in kubectl.items(_SHARED, "-A", "-l", label)
    }
    names = sorted(found)
    assert names == [
        ("ConfigMap", "piavpn-gateway-kept"),
        ("NetworkPolicy", "piavpn-probe"),
        ("NetworkPolicy", "piavpn-proxy-kept"),
        ("Service", "piavpn-proxy-kept"),
        ("Service", "probe"),
        ("StatefulSet", "piavpn-gateway-kept"),
        ("StatefulSet", "probe"),
    ], names
    return found


def is_edited(item: kubectl.Object) -> bool:
    return _has(item, _EDITS[item["kind"]])


def _has(found: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(found == wanted)
    return all(_has((found or {}).get(key), value) for key, value in wanted.items())


def is_well(tunnel: probes.Tunnel) -> None:
    kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
    waiting.eventually(
        lambda: tunnel.app.tcp() == tunnel.server_address, "the app is on the Internet"
    )


def test_what_is_edited_is_as_it_was_soon_and_what_is_deleted_comes_back(
    tunnel: probes.Tunnel,
) -> None:
    before = children()
    for (kind, name), item in before.items():
        patch = json.dumps(_EDITS[kind])
        room = item["metadata"]["namespace"]
        kubectl.run("patch", kind, name, "-n", room, "--type=merge", "-p", patch)
    waiting.eventually(
        lambda: not any(map(is_edited, children().values())), "all edits are taken back"
    )
    for (kind, name), item in before.items():
        kubectl.run("delete", kind, name, "-n", item["metadata"]["namespace"], "--wait=false")

    def all_are_others() -> bool:
        found = children()
        return all(found[key]["metadata"]["uid"] != before[key]["metadata"]["uid"] for key in found)

    waiting.eventually(all_are_others, "all come back")
    is_well(tunnel)


def test_a_pod_with_a_restore_tools_container_before_the_gate_says_so(
    tunnel: probes.Tunnel,
) -> None:
    containers = [{**_WAITS, "image": tunnel.app.get()["spec"]["containers"][0]["image"]}]
    order = [{"name": "restore-wait"}, {"name": "piavpn-gate"}]
    room = tunnel.app.namespace
    with product.edited(
        tunnel.app, **{"initContainers": containers, "$setElementOrder/initContainers": order}
    ):
        kind = "piavpn.dev/Confined"
        told = waiting.eventually(
            lambda: kubectl.condition("pod", tunnel.app.name, kind, room), "the pod is judged"
        )
        assert (told["status"], told["reason"]) == ("False", "PodNotAllowed")
        assert "begins with restore-wait" in told["message"]
    is_well(tunnel)


def test_a_backup_of_the_custom_resources_makes_all_of_it_again(tunnel: probes.Tunnel) -> None:
    """With all that the API server wrote into it, and a status that is a stranger's then."""
    room = tunnel.app.namespace
    vpn, app = kubectl.get("piavpn", tunnel.vpn), kubectl.get("vpnapp", "probe", room)
    stateful_set = kubectl.get("statefulset", "probe", room)
    assert vpn
    assert app
    assert stateful_set
    assert vpn["status"]["conditions"]
    kubectl.delete(app, vpn)
    waiting.eventually(lambda: not _pods(), "the pods are gone")

    metadata = stateful_set["metadata"]
    for of_the_old_cluster in ("uid", "resourceVersion", "managedFields"):
        metadata.pop(of_the_old_cluster, None)
    kubectl.run("create", "-f", "-", stdin=json.dumps(stateful_set))
    kubectl.apply(vpn, app)
    for kind, item in (("piavpn", vpn), ("vpnapp", app)):
        place = ("-n", item["metadata"].get("namespace", "default"))
        kubectl.run(
            "patch", kind, item["metadata"]["name"], *place, "--subresource=status",
            "--type=merge", "--field-manager=velero-server",
            "-p", json.dumps({"status": item["status"]}),
        )  # fmt: skip
    is_well(tunnel)
    waiting.eventually(
        lambda: status_writers(tunnel.vpn) == {"piavpn-operator", "piavpn-gateway"},
        "the status is its writers' again",
    )
    again = kubectl.get("piavpn", tunnel.vpn)
    assert again
    assert again["metadata"]["uid"] != vpn["metadata"]["uid"]
    assert again["status"]["session"]["publicKey"] != vpn["status"]["session"]["publicKey"]


def status_writers(vpn: str) -> set[str]:
    found = kubectl.get("piavpn", vpn, show_managed_fields=True) or {"metadata": {}}
    entries = found["metadata"].get("managedFields", [])
    return {entry["manager"] for entry in entries if entry.get("subresource") == "status"}


def _pods() -> list[str]:
    return [
        item["metadata"]["name"]
        for label in _LABELS
        for item in kubectl.items("pods", "-A", "-l", label)
    ]
