"""Read what the API says of pods, nodes and the cluster's networks. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from piavpn.api import codec, gateway_config, names, promise, requests
from piavpn.api.conditions import Condition, PodCondition
from piavpn.api.gateway_config import GatewayConfig
from piavpn.node.model import Gate, Owner, Pod, Role

Object = dict[str, Any]

_ENDED = ("Succeeded", "Failed")


@dataclasses.dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod, what pods are ordered by, and what the API says of it by us."""

    created: datetime
    pod: Pod
    told: tuple[Condition, ...] = ()
    node: str = ""
    """Name of its node; empty while it has none."""


@dataclasses.dataclass(frozen=True, slots=True)
class SeenNode:
    """A Node, and what it says of the cluster's addresses."""

    name: str
    uid: str
    pod_cidrs: tuple[ipaddress.IPv4Network, ...]
    addresses: tuple[ipaddress.IPv4Address, ...]


def read_service_pod(body: Object) -> SeenPod | None:
    """Read a service's or a labelled pod; one whose containers have ended for good is none."""
    metadata, spec = body["metadata"], body["spec"]
    service = metadata["labels"].get(names.LABEL_SERVICE)
    name = metadata["name"] if service is None else service
    owner = Owner(name, metadata["namespace"], is_pod=service is None)
    seen = _read_pod(body, Role.SERVICE, metadata["labels"][names.LABEL_VPN], owner)
    if seen is None:
        return None
    pod = dataclasses.replace(
        seen.pod,
        breach=promise.breach(spec),
        name_servers=promise.name_servers(spec),
        made_by=_controller(metadata) if owner.is_pod else "",
    )
    return dataclasses.replace(seen, pod=pod)


def read_gateway_pod(body: Object) -> SeenPod | None:
    """Read a gateway's pod; one whose containers have ended for good is none."""
    vpn = body["metadata"]["labels"][names.LABEL_GATEWAY]
    return _read_pod(body, Role.GATEWAY, vpn, Owner(vpn))


def read_config(body: Object) -> GatewayConfig:
    """Read what a gateway is told, from its ConfigMap."""
    return GatewayConfig.from_json(body["data"][gateway_config.KEY])


def read_node(body: Object) -> SeenNode:
    """Read a Node's pod CIDRs and its own addresses."""
    spec = body.get("spec", {})
    told = body.get("status", {}).get("addresses") or []
    return SeenNode(
        name=body["metadata"]["name"],
        uid=body["metadata"]["uid"],
        pod_cidrs=_ipv4(spec.get("podCIDRs") or [spec.get("podCIDR", "")]),
        addresses=tuple(
            ipaddress.IPv4Address(item["address"])
            for item in told
            if item["type"] == "InternalIP" and ":" not in item["address"]
        ),
    )


def read_service_cidrs(body: Object) -> tuple[ipaddress.IPv4Network, ...]:
    """Read a ServiceCIDR."""
    return _ipv4(body["spec"]["cidrs"])


def _read_pod(body: Object, role: Role, vpn: str, owner: Owner) -> SeenPod | None:
    status = body.get("status", {})
    if status.get("phase") in _ENDED:
        return None
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {})
    pod = Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        role=role,
        vpn=vpn,
        owner=owner,
        address=_address(annotations.get(names.ANNOTATION_ADDRESS)),
        ending="deletionTimestamp" in metadata,
        gate=_gate(status),
        port_hook=_port_hook(body),
        leak_test_asked=requests.asked_at(annotations.get(names.ANNOTATION_LEAK_TEST_REQUESTED_AT)),
    )
    return SeenPod(
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        pod=pod,
        told=_told(status),
        node=body.get("spec", {}).get("nodeName", ""),
    )


def _controller(metadata: Object) -> str:
    """Return the UID of the controller that makes such pods; empty for a pod by itself."""
    owners = metadata.get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _gate(status: Object) -> Gate:
    """Read how far the gate is; a rebuilt sandbox has it start again."""
    for container in status.get("initContainerStatuses") or []:
        if container["name"] == names.GATE_CONTAINER:
            state = container.get("state") or {}
            running = container.get("containerID", "") if "running" in state else ""
            ended = state.get("terminated") or {}
            return Gate(running.rpartition("//")[2], passed=ended.get("exitCode") == 0)
    return Gate()


def _port_hook(body: Object) -> str | None:
    containers = body.get("spec", {}).get("containers") or []
    if not any(container["name"] == names.PORT_HOOK_CONTAINER for container in containers):
        return None
    for container in body.get("status", {}).get("containerStatuses") or []:
        running = "running" in (container.get("state") or {})
        if running and container["name"] == names.PORT_HOOK_CONTAINER:
            return str(container.get("containerID", "")).rpartition("//")[2]
    return ""


def _told(status: Object) -> tuple[Condition, ...]:
    """Read what the API says of a pod by us; what makes no sense is not ours, and is replaced."""
    own = set(PodCondition) - {PodCondition.ACCEPTED}
    found = []
    for item in status.get("conditions") or []:
        if item["type"] in own:
            with contextlib.suppress(ValueError):
                found.append(codec.decode(Condition, item))
    return tuple(found)


def _address(text: str | None) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text) if text else None
    except ValueError:
        return None


def _ipv4(cidrs: Sequence[str]) -> tuple[ipaddress.IPv4Network, ...]:
    return tuple(ipaddress.IPv4Network(cidr) for cidr in cidrs if cidr and ":" not in cidr)
