"""Pods of ours, as the API tells of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

from piavpn.api import codec, names, vpnapps
from piavpn.api.conditions import Condition
from piavpn.kube import PODS, Cluster, Object

_ENDED = ("Succeeded", "Failed")
TERMINATING = "Terminating"


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a gateway or an app."""

    name: str
    namespace: str
    uid: str
    app: str
    """NAMESPACE/NAME of the VpnServiceContainer, or of a labelled pod itself; empty for others."""
    is_labelled: bool
    """Whether it is behind its VPN by label alone, and no VpnServiceContainer's."""
    vpn: str
    """The PiaVpn that an app is behind; empty for a gateway's."""
    address: str
    """On the bridge, of a confined pod; empty while it has none."""
    wants_port: bool
    """Whether a labelled pod is to receive the forwarded port."""
    node: str | None
    state: str
    """In a word or two: of a container that does not run, or the pod's phase."""
    restarts: int
    containers: tuple[str, ...]
    """Names of those that were started once, init containers first."""
    conditions: tuple[Condition, ...]


def of_service(api: Cluster, service: vpnapps.VpnServiceContainer) -> Pod | None:
    """Return the pod of an app; None where it has none."""
    labels = f"{names.LABEL_SERVICE}={service.name}"
    found = map(read, api.list(PODS, service.namespace, labels=labels))
    return next((pod for pod in found if pod is not None), None)


def behind_vpns(api: Cluster) -> list[Pod]:
    """Return the pods of all apps, and labelled ones."""
    found = map(read, api.list(PODS, labels=names.LABEL_VPN))
    return [pod for pod in found if pod is not None]


def labelled(
    found: Iterable[Pod], vpn: str | None = None, namespace: str | None = None
) -> list[Pod]:
    """Return the labelled pods of these, by name: of one VPN, or of one namespace, where given."""
    chosen = (
        pod
        for pod in found
        if pod.is_labelled and vpn in {None, pod.vpn} and namespace in {None, pod.namespace}
    )
    return sorted(chosen, key=lambda pod: (pod.namespace, pod.name))


def of_gateway(api: Cluster, vpn: str, namespace: str) -> Pod | None:
    """Return the pod of a tunnel's gateway; None where it has none."""
    found = map(read, api.list(PODS, namespace, labels=f"{names.LABEL_GATEWAY}={vpn}"))
    return next((pod for pod in found if pod is not None), None)


def read(body: Object) -> Pod | None:
    """Read a pod; one that has ended for good is none."""
    metadata, status = body["metadata"], body.get("status") or {}
    if status.get("phase") in _ENDED:
        return None
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    service = labels.get(names.LABEL_SERVICE)
    is_labelled = names.LABEL_VPN in labels and service is None
    app = metadata["name"] if is_labelled else service
    started = [
        item
        for item in (
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        )
        if item.get("containerID")
    ]
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        app=f"{metadata['namespace']}/{app}" if app else "",
        is_labelled=is_labelled,
        vpn=labels.get(names.LABEL_VPN, ""),
        address=annotations.get(names.ANNOTATION_ADDRESS, ""),
        wants_port=is_labelled and names.ANNOTATION_RECEIVE_FORWARDED_PORT in annotations,
        node=(body.get("spec") or {}).get("nodeName"),
        state=_state(body),
        restarts=sum(item.get("restartCount", 0) for item in status.get("containerStatuses") or []),
        containers=tuple(item["name"] for item in started),
        conditions=tuple(_conditions(status)),
    )


def _conditions(status: Object) -> list[Condition]:
    found = []
    for item in status.get("conditions") or []:
        with contextlib.suppress(ValueError):
            found.append(codec.decode(Condition, {"reason": "", **item}))
    return found


def _state(body: Object) -> str:
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"]:
        return TERMINATING
    for item in status.get("containerStatuses") or []:
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing"):
            return str(waiting["reason"])
    for item in status.get("initContainerStatuses") or []:
        if "running" in (item.get("state") or {}) and item["name"] == names.GATE_CONTAINER:
            return "Waiting at its gate"
    return str(status.get("phase") or "Unknown")
