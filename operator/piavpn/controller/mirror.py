"""What node agents say of pods, as conditions of the custom resources that the pods are for. Pure.

A condition alone proves nothing once its writer is gone: then it is Unknown, whatever the pod's own
conditions still say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from piavpn.api import codec
from piavpn.api.conditions import Condition, PodCondition, ServiceCondition, Status
from piavpn.controller import model
from piavpn.controller.reasons import Reason

_OF_SERVICE = {
    ServiceCondition.CONFINED: PodCondition.CONFINED,
    ServiceCondition.LEAK_FREE: PodCondition.LEAK_FREE,
}
_FINISHED = ("Succeeded", "Failed")
_NO_POD = "no pod of it is on any node"


def of_service(
    pod: model.Object | None, silent: Mapping[str, model.Silence]
) -> dict[ServiceCondition, model.Verdict]:
    """Return what is known of an app's pod: with none, it is not confined, and leaks nothing."""
    told = {kind: _of(pod, source, silent) for kind, source in _OF_SERVICE.items()}
    if told[ServiceCondition.CONFINED].reason == Reason.NO_POD:
        unknown = model.Verdict(Status.UNKNOWN, Reason.NO_POD, _NO_POD)
        told[ServiceCondition.LEAK_FREE] = unknown
    return told


def of_gateway(pod: model.Object | None, silent: Mapping[str, model.Silence]) -> model.Verdict:
    """Return what is known of a gateway's pod."""
    return _of(pod, PodCondition.CONFINED, silent)


def of_hook(pod: model.Object, silent: Mapping[str, model.Silence]) -> model.Verdict:
    """Return what is known of the hook that tells an app its port."""
    return _of(pod, PodCondition.PORT_TOLD, silent)


def node_of(pod: model.Object | None) -> str | None:
    """Return the node that the pod is on; None where it is on none, or has ended for good."""
    if pod is None or (pod.get("status") or {}).get("phase") in _FINISHED:
        return None
    name: str | None = (pod.get("spec") or {}).get("nodeName")
    return name


def condition(pod: model.Object, kind: PodCondition) -> model.Verdict | None:
    """Return a pod's condition of this type; None where nobody has written it."""
    for item in (pod.get("status") or {}).get("conditions") or []:
        if item["type"] == kind:
            return model.Verdict(
                Status(item["status"]), item.get("reason", ""), item.get("message", "")
            )
    return None


def own_condition(pod: model.Object, kind: PodCondition) -> Condition | None:
    """Return a pod's condition of this type as a whole; None without a sound one."""
    for item in (pod.get("status") or {}).get("conditions") or []:
        if item["type"] == kind:
            with contextlib.suppress(ValueError):
                return codec.decode(Condition, item)
    return None


def _of(
    pod: model.Object | None, kind: PodCondition, silent: Mapping[str, model.Silence]
) -> model.Verdict:
    node = node_of(pod)
    if pod is None or node is None:
        return model.Verdict(Status.FALSE, Reason.NO_POD, _NO_POD)
    if node in silent:
        return _silence(node, silent[node])
    not_yet = f"the agent of node {node} has said nothing of the pod yet"
    return condition(pod, kind) or model.Verdict(Status.UNKNOWN, Reason.NOT_REPORTED, not_yet)


def _silence(node: str, silence: model.Silence) -> model.Verdict:
    since = "ever" if silence.since is None else f"since {codec.format_time(silence.since)}"
    message = (
        f"the agent of node {node} was not heard of {since}: see whether the node is up, and the "
        "piavpn-node-agent pod on it"
    )
    return model.Verdict(Status.UNKNOWN, Reason.NODE_AGENT_SILENT, message)
