"""Specs of pods as a user, or whoever else may make pods, writes them."""

from __future__ import annotations

from typing import Any

GATE = {
    "name": "piavpn-gate",
    "args": ["gate"],
    "securityContext": {"capabilities": {"drop": ["ALL"]}},
}
APP = {"name": "app", "securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}


def confined(**changes: Any) -> dict[str, Any]:
    """Return the spec of a service's pod that keeps the promise, but for the changes."""
    return {
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.100.0.2"]},
        "initContainers": [GATE],
        "containers": [APP],
    } | changes


def container(name: str = "other", **context: Any) -> dict[str, Any]:
    return {"name": name, "securityContext": {"capabilities": {"drop": ["NET_RAW"]}} | context}


def with_capabilities(*added: str) -> dict[str, Any]:
    return container(capabilities={"add": list(added), "drop": ["ALL"]})


RAW = "securityContext.capabilities.drop lacks NET_RAW: a raw socket walks past any lock"
NO_GATE = "spec.initContainers lacks piavpn-gate as the operator makes it"
BEFORE_GATE = (
    "spec.initContainers begins with restore-wait, "
    "and not with piavpn-gate as the operator makes it"
)
OTHER_GATE = "spec.initContainers[0] is not piavpn-gate as the operator makes it"

ALLOWED: dict[str, dict[str, Any]] = {
    "plain": {},
    "processes": {"shareProcessNamespace": True},
    "init container": {"initContainers": [GATE, container("setup")]},
    "hook": {
        "containers": [APP, container("hook")],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
    "debugger": {"ephemeralContainers": [container("debugger")]},
    "capabilities": {"containers": [with_capabilities("CHOWN", "NET_BIND_SERVICE")]},
    "explicit": {"hostNetwork": False, "hostPID": False, "hostIPC": False},
}
"""What a pod's spec may say though the pod is to be confined."""

REFUSED: list[tuple[dict[str, Any], str]] = [
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
]
"""What it may not say, and what keeps the pod from being confined then."""

POWERS = [
    (["NET_ADMIN"], "NET_ADMIN"),
    (["CAP_NET_RAW"], "NET_RAW"),
    (["net_raw", "SYS_ADMIN", "CHOWN"], "NET_RAW, SYS_ADMIN"),
    (["ALL"], "ALL"),
    (["SYS_MODULE"], "SYS_MODULE"),
    (["SYS_PTRACE"], "SYS_PTRACE"),
    (["BPF"], "BPF"),
]
"""Capabilities that it may not add, and those among them that lead past the lock."""

KEYS_TO_THE_NODE = [
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
]
OTHER_PATHS = ["/dev/dri", "/mnt/media", "/run/udev", "/etc/localtime", "/srv"]
"""Paths of the node that it may not mount, and others."""
