"""Which pods may call themselves confined, by what their specs allow them. Pure.

The operator makes no other, whatever template a user gives; but whoever may make pods can give one
our labels, an admission webhook can add a container, `kubectl debug` too: so node agents judge by
the same rules. What a pod's lock promises holds only where no container can undo it, or walk past
it.
"""

from __future__ import annotations

import pathlib
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

from piavpn.api import names

Spec = dict[str, Any]
"""A pod's spec, or a part of it, as the API has it."""

POWERS = frozenset(
    {
        "ALL",
        "BPF",
        "DAC_READ_SEARCH",
        "NET_ADMIN",
        "NET_RAW",
        "SYS_ADMIN",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
    }
)
"""Capabilities that undo the lock, walk past it, or lead out of the container."""
_NODES_OWN = ("hostNetwork", "hostPID", "hostIPC")
KEYS_TO_THE_NODE = tuple(
    map(
        pathlib.PurePosixPath,
        (
            "/proc",
            "/run/containerd",
            "/run/crio",
            "/run/cri-dockerd.sock",
            "/run/docker.sock",
            "/run/k3s",
            "/run/netns",
            "/run/piavpn",
            "/var/lib/kubelet",
        ),
    )
)
"""Paths of a node by which a container gets what `privileged` would give it: the processes of
others, the container runtime's socket, network namespaces, pods' volumes and tokens."""
_NET_RAW_DROPPED = frozenset({"ALL", "NET_RAW"})
_GATE = f"{names.GATE_CONTAINER} as the operator makes it"


def breach(spec: Spec) -> str:
    """Return what keeps a service's pod from being confined, naming the field; empty: nothing."""
    return next(_breaches(spec), "")


def name_servers(spec: Spec) -> tuple[str, ...]:
    """Return all that the pod's resolver asks; empty where the kubelet adds others."""
    if spec.get("dnsPolicy") != "None":
        return ()
    return tuple((spec.get("dnsConfig") or {}).get("nameservers") or [])


def drops_net_raw(dropped: Iterable[str]) -> bool:
    """Tell whether a container that drops these capabilities has no NET_RAW."""
    return not _NET_RAW_DROPPED.isdisjoint(map(_plain, dropped))


def _breaches(spec: Spec) -> Iterator[str]:
    for field in _NODES_OWN:
        if spec.get(field):
            yield f"spec.{field} shares what is the node's own"
    yield from _volume_breaches(spec.get("volumes") or [])
    yield from _gate_breaches(spec.get("initContainers") or [])
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or []:
            for problem in _container_breaches(container):
                yield f"spec.{field}, container {container['name']}: {problem}"


def _volume_breaches(volumes: list[Spec]) -> Iterator[str]:
    for volume in volumes:
        path = (volume.get("hostPath") or {}).get("path")
        if path and opens_the_node(path):
            yield f"spec.volumes, volume {volume['name']}: hostPath {path} opens the whole node"


def opens_the_node(path: str) -> bool:
    """Tell whether this path of a node, where a container has it, leads out of the container."""
    plain = pathlib.PurePosixPath(posixpath.normpath("/" + path.lstrip("/")))
    if plain.is_relative_to("/var/run"):
        plain = pathlib.PurePosixPath("/run") / plain.relative_to("/var/run")
    return any(plain.is_relative_to(key) or key.is_relative_to(plain) for key in KEYS_TO_THE_NODE)


def _gate_breaches(init_containers: list[Spec]) -> Iterator[str]:
    first = init_containers[0] if init_containers else {}
    if not first:
        yield f"spec.initContainers lacks {_GATE}"
    elif first.get("name") != names.GATE_CONTAINER:
        # Restore tools, meshes and other webhooks put theirs there: say whose it is.
        yield f"spec.initContainers begins with {first.get('name')}, and not with {_GATE}"
    elif first.get("command") or first.get("args") != ["gate"] or first.get("restartPolicy"):
        # One with a restart policy of its own is a sidecar: nothing waits for its end.
        yield f"spec.initContainers[0] is not {_GATE}"


def _container_breaches(container: Spec) -> Iterator[str]:
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        yield "securityContext.privileged undoes any lock"
    capabilities = context.get("capabilities") or {}
    added = {_plain(each) for each in capabilities.get("add") or []}
    if powers := sorted(added & POWERS):
        yield f"securityContext.capabilities.add has {', '.join(powers)}"
    if not drops_net_raw(capabilities.get("drop") or []):
        yield "securityContext.capabilities.drop lacks NET_RAW: a raw socket walks past any lock"


def _plain(capability: str) -> str:
    """Return the name as it is usually written: runtimes take others, too."""
    return capability.upper().removeprefix("CAP_")
