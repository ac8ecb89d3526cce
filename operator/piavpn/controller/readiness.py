"""The condition Ready, of both kinds: the first thing that holds it up, in the order of a start.

Pure. Where the node's agent is silent it is Unknown: packets may flow, but nobody vouches for them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from piavpn.api import codec, conditions, names, piavpns, vpnapps
from piavpn.api.conditions import PiaVpnCondition, PodCondition, ServiceCondition, Status
from piavpn.controller import mirror, model
from piavpn.controller.reasons import Reason

_STARTING = "is starting"


def of_vpn(
    vpn: piavpns.PiaVpn,
    verdicts: Mapping[PiaVpnCondition, model.Verdict],
    gateway_pod: model.Object | None,
    refusal: str = "",
) -> model.Verdict:
    """Return whether packets go through the tunnel now, or what to look at.

    Args:
        vpn: the tunnel.
        verdicts: its other conditions.
        gateway_pod: its gateway's pod.
        refusal: what the API server said when it took no such pod.
    """
    accepted = verdicts[PiaVpnCondition.ACCEPTED]
    if not accepted.holds:
        return accepted
    if gateway_pod is not None and is_ready(gateway_pod):
        for kind in (PiaVpnCondition.GATEWAY_ATTACHED, PiaVpnCondition.TUNNEL_UP):
            verdict = _reported(vpn, verdicts, kind)
            if not verdict.holds:
                return verdict
        return model.Verdict(Status.TRUE, Reason.READY, _session(vpn))
    for kind in (PiaVpnCondition.AUTHENTICATED, PiaVpnCondition.SERVERS_KNOWN):
        if verdicts[kind].status is Status.FALSE:
            return verdicts[kind]
    if gateway_pod is None or not _is_running(gateway_pod):
        missing = gateway_pod is None and refusal
        message = (
            f"the gateway's pod {f'is refused: {refusal}' if missing else _trouble(gateway_pod)}"
        )
        return model.Verdict(Status.FALSE, Reason.GATEWAY_NOT_RUNNING, message)
    return _first_missing(vpn, verdicts)


def _first_missing(
    vpn: piavpns.PiaVpn, verdicts: Mapping[PiaVpnCondition, model.Verdict]
) -> model.Verdict:
    order = (
        PiaVpnCondition.GATEWAY_ATTACHED,
        PiaVpnCondition.REGISTERED,
        PiaVpnCondition.TUNNEL_UP,
    )
    for kind in order:
        verdict = _reported(vpn, verdicts, kind)
        if not verdict.holds:
            return verdict
    return model.Verdict(Status.FALSE, Reason.GATEWAY_NOT_RUNNING, "the gateway is not ready yet")


def _reported(
    vpn: piavpns.PiaVpn,
    verdicts: Mapping[PiaVpnCondition, model.Verdict],
    kind: PiaVpnCondition,
) -> model.Verdict:
    """Return what the node agent or the gateway says; Ready is Unknown for a silent agent alone."""
    if kind in verdicts:
        told = verdicts[kind]
        if told.holds or told.reason == Reason.NODE_AGENT_SILENT:
            return told
        return model.Verdict(Status.FALSE, told.reason, told.message)
    found = conditions.find(vpn.status.conditions, kind)
    if found is None:
        return model.Verdict(Status.FALSE, Reason.NOT_REPORTED, f"{kind} was not reported yet")
    status = Status.TRUE if found.status is Status.TRUE else Status.FALSE
    return model.Verdict(status, found.reason, found.message)


def _session(vpn: piavpns.PiaVpn) -> str:
    session = vpn.status.session
    if session is None:
        return ""
    return f"through {session.server} ({session.server_address}) in {session.region}"


def of_service(
    service: vpnapps.VpnServiceContainer,
    vpn_ready: model.Verdict,
    told: Mapping[ServiceCondition, model.Verdict],
    pod: model.Object | None,
    warning: str = "",
) -> model.Verdict:
    """Return whether the app runs, confined, behind a tunnel that works.

    Args:
        service: the app.
        vpn_ready: whether its tunnel works.
        told: what the node agent says of the app's pod.
        pod: the app's pod.
        warning: what was said last of a pod that should have started; its status is silent.
    """
    vpn = service.spec.vpn_ref.name
    if vpn_ready.status is Status.FALSE:
        message = f"PiaVpn {vpn} is not ready: {vpn_ready.message or vpn_ready.reason}"
        return model.Verdict(Status.FALSE, Reason.VPN_NOT_READY, message)
    confined = told[ServiceCondition.CONFINED]
    if confined.reason == Reason.NODE_AGENT_SILENT:
        return confined
    if pod is None or not is_ready(pod):
        trouble = _trouble(pod)
        if trouble == _STARTING and warning:
            trouble = f"waits: {warning}"
        return model.Verdict(Status.FALSE, Reason.POD_NOT_READY, f"the pod {trouble}")
    if not confined.holds:
        return model.Verdict(Status.FALSE, Reason.NOT_CONFINED, confined.message)
    if not vpn_ready.holds:
        return model.Verdict(vpn_ready.status, vpn_ready.reason, vpn_ready.message)
    return model.Verdict(Status.TRUE, Reason.READY)


def lost(
    pod: model.Object | None, lost_nodes: Mapping[str, model.LostNode]
) -> model.Verdict | None:
    """Return the verdict over a pod whose node is not heard of; None over any other.

    Unknown, since it may well run there: that is why there is no second one.
    """
    node = mirror.node_of(pod)
    if node is None or node not in lost_nodes:
        return None
    found = lost_nodes[node]
    if found.deleted:
        message = (
            f"node {node} was deleted: Kubernetes ends its pods within about a minute, and gateway "
            "and apps come up on another node"
        )
    else:
        since = f" since {codec.format_time(found.since)}" if found.since is not None else ""
        message = (
            f"node {node} was not heard of{since}: its pods may run, and no second ones are made "
            "with their addresses. Where the node does not come back, switch it off and run: "
            f"kubectl delete node {node} (or taint it "
            "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute); gateway and apps then come "
            "up on another node"
        )
    return model.Verdict(Status.UNKNOWN, Reason.NODE_LOST, message)


def suspended(pod: model.Object | None) -> model.Verdict:
    """Return the verdict over an app that its user has stopped."""
    state = "the app is stopped" if pod is None else "the app is being stopped"
    message = f"{state}, and keeps data and address: set spec.suspend to false to start it"
    return model.Verdict(Status.FALSE, Reason.SUSPENDED, message)


def refused(message: str) -> model.Verdict:
    """Return the verdict over an app of which the API server takes an object or no pod."""
    return model.Verdict(Status.FALSE, Reason.REFUSED, message)


def pod_address(pod: model.Object) -> ipaddress.IPv4Address | None:
    """Return the bridge address that the pod was made for."""
    annotations = pod["metadata"].get("annotations") or {}
    try:
        return ipaddress.IPv4Address(annotations.get(names.ANNOTATION_ADDRESS, ""))
    except ValueError:
        return None


def is_awaited(pod: model.Object | None) -> bool:
    """Tell whether there is no such pod, or one that has not started."""
    return pod is None or (pod.get("status") or {}).get("phase") == "Pending"


def _is_running(pod: model.Object) -> bool:
    deleting = "deletionTimestamp" in pod["metadata"]
    return not deleting and (pod.get("status") or {}).get("phase") == "Running"


def is_ready(pod: model.Object) -> bool:
    """Tell whether its kubelet says that it runs and takes traffic."""
    found = (pod.get("status") or {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in found)
    return ready and _is_running(pod)


def _trouble(pod: model.Object | None) -> str:
    """Say in a few words what keeps a pod from being ready: the kubelet's or scheduler's own."""
    if pod is None:
        return "does not exist yet"
    if "deletionTimestamp" in pod["metadata"]:
        return "is being replaced"
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f"cannot be scheduled: {condition.get('message', condition.get('reason'))}"
    if status.get("reason"):
        return f"failed: {status['reason']}: {status.get('message', '')}"
    waits = (_container_trouble(pod, container) for container in _containers(status))
    return next((trouble for trouble in waits if trouble), _STARTING)


def _container_trouble(pod: model.Object, container: model.Object) -> str:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
        detail = waiting.get("message", "")
        return f"waits in container {container['name']}: {waiting['reason']} {detail}".strip()
    if "running" in state and container["name"] == names.GATE_CONTAINER:
        gate = mirror.condition(pod, PodCondition.GATE_PASSED)
        logs = f"see the logs of container {names.GATE_CONTAINER}"
        return f"waits in its gate: {(gate and gate.message) or logs}"
    return ""


def _containers(status: model.Object) -> list[model.Object]:
    initial: list[model.Object] = status.get("initContainerStatuses") or []
    return initial + (status.get("containerStatuses") or [])
