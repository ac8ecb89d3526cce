"""What a pod's spec may say where the pod is to be confined, and what not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from controller_samples import IP, NETWORK, SETTINGS, service
from pod_specs import APP, GATE, confined

from piavpn.api import promise, types
from piavpn.controller import build_service

RAW = "securityContext.capabilities.drop lacks NET_RAW: a raw socket walks past any lock"
NO_GATE = "spec.initContainers lacks piavpn-gate as the operator makes it"
BEFORE_GATE = (
    "spec.initContainers begins with restore-wait, "
    "and not with piavpn-gate as the operator makes it"
)
OTHER_GATE = "spec.initContainers[0] is not piavpn-gate as the operator makes it"


def container(name: str = "other", **context: Any) -> dict[str, Any]:
    return {"name": name, "securityContext": {"capabilities": {"drop": ["NET_RAW"]}} | context}


def with_capabilities(*added: str) -> dict[str, Any]:
    return container(capabilities={"add": list(added), "drop": ["ALL"]})


HOOKS: dict[str, Any] = {
    "receive_forwarded_port": types.ReceiveForwardedPort(),
    "on_port_forwarded": types.OnPortForwarded(script="curl localhost:9091/$PORT"),
}


@pytest.mark.parametrize("with_hooks", [{}, HOOKS], ids=["plain", "hooks"])
def test_a_pod_as_the_operator_makes_it_keeps_the_promise(with_hooks: dict[str, Any]) -> None:
    app = service()
    app = dataclasses.replace(app, spec=dataclasses.replace(app.spec, **with_hooks))
    made = build_service.stateful_set(app, IP("10.100.0.10"), NETWORK, SETTINGS)
    spec = made["spec"]["template"]["spec"]
    assert promise.breach(spec) == ""
    assert promise.name_servers(spec) == ("10.100.0.2",)


@pytest.mark.parametrize(
    "allowed",
    [
        {},
        {"shareProcessNamespace": True},
        {"initContainers": [GATE, container("setup")]},
        {"containers": [APP, container("hook")], "volumes": [{"name": "data", "emptyDir": {}}]},
        {"ephemeralContainers": [container("debugger")]},
        {"containers": [with_capabilities("CHOWN", "NET_BIND_SERVICE")]},
        {"hostNetwork": False, "hostPID": False, "hostIPC": False},
    ],
    ids=["plain", "processes", "init container", "hook", "debugger", "capabilities", "explicit"],
)
def test_what_opens_no_way_out_is_allowed(allowed: dict[str, Any]) -> None:
    assert promise.breach(confined(**allowed)) == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hostNetwork": True}, "spec.hostNetwork shares what is the node's own"),
        ({"hostPID": True}, "spec.hostPID shares what is the node's own"),
        ({"hostIPC": True}, "spec.hostIPC shares what is the node's own"),
        ({"initContainers": []}, NO_GATE),
        ({"initContainers": None}, NO_GATE),
        ({"initContainers": [container("restore-wait"), GATE]}, BEFORE_GATE),
        ({"initContainers": [GATE | {"restartPolicy": "Always"}]}, OTHER_GATE),
        ({"initContainers": [GATE | {"command": ["true"]}]}, OTHER_GATE),
        ({"initContainers": [GATE | {"args": ["operator"]}]}, OTHER_GATE),
        ({"initContainers": [{"name": "piavpn-gate"}]}, OTHER_GATE),
        (
            {"containers": [container(privileged=True)]},
            "spec.containers, container other: securityContext.privileged undoes any lock",
        ),
        ({"containers": [{"name": "other"}]}, f"spec.containers, container other: {RAW}"),
        (
            {"containers": [APP, container(capabilities={"drop": ["CHOWN"]})]},
            f"spec.containers, container other: {RAW}",
        ),
        (
            {"initContainers": [GATE, {"name": "setup"}]},
            f"spec.initContainers, container setup: {RAW}",
        ),
        (
            {"ephemeralContainers": [{"name": "debugger"}]},
            f"spec.ephemeralContainers, container debugger: {RAW}",
        ),
    ],
)
def test_what_undoes_the_lock_or_the_gate_is_named(change: dict[str, Any], told: str) -> None:
    assert promise.breach(confined(**change)) == told


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (["NET_ADMIN"], "NET_ADMIN"),
        (["CAP_NET_RAW"], "NET_RAW"),
        (["net_raw", "SYS_ADMIN", "CHOWN"], "NET_RAW, SYS_ADMIN"),
        (["ALL"], "ALL"),
        (["SYS_MODULE"], "SYS_MODULE"),
        (["SYS_PTRACE"], "SYS_PTRACE"),
        (["BPF"], "BPF"),
    ],
)
def test_powers_that_lead_past_the_lock_are_named(added: list[str], told: str) -> None:
    spec = confined(containers=[with_capabilities(*added)])
    assert promise.breach(spec) == (
        f"spec.containers, container other: securityContext.capabilities.add has {told}"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/proc",
        "/proc/1/ns",
        "/run",
        "/var/run",
        "/var",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/data/../run/netns",
        "/var/lib/kubelet/pods",
    ],
)
def test_a_path_of_the_node_that_opens_all_of_it_is_named(path: str) -> None:
    spec = confined(volumes=[{"name": "host", "hostPath": {"path": path}}])
    assert promise.breach(spec) == (
        f"spec.volumes, volume host: hostPath {path} opens the whole node"
    )


@pytest.mark.parametrize("path", ["/dev/dri", "/mnt/media", "/run/udev", "/etc/localtime", "/srv"])
def test_any_other_path_of_the_node_may_be_mounted(path: str) -> None:
    assert promise.breach(confined(volumes=[{"name": "a", "hostPath": {"path": path}}])) == ""


@pytest.mark.parametrize("dropped", ["ALL", "NET_RAW", "CAP_NET_RAW", "net_raw"])
def test_net_raw_is_dropped_in_whatever_spelling(dropped: str) -> None:
    spec = confined(containers=[container(capabilities={"drop": [dropped]})])
    assert promise.breach(spec) == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("10.100.0.2",)),
        ({"dnsPolicy": "ClusterFirst"}, ()),
        ({"dnsPolicy": None}, ()),
        ({"dnsConfig": None}, ()),
        ({"dnsConfig": {"nameservers": ["10.100.0.2", "1.1.1.1"]}}, ("10.100.0.2", "1.1.1.1")),
    ],
)
def test_a_pods_name_servers_are_known_where_the_kubelet_adds_none(
    change: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert promise.name_servers(confined(**change)) == expected
