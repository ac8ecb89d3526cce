"""Everything of ours in a cluster, as one look at it gives it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from piavpn.api import names, piavpns, vpnapps
from piavpn.api.conditions import (
    Condition,
    PiaVpnCondition,
    PodCondition,
    ServiceCondition,
    Status,
    find,
)
from piavpn.cli import cluster, pods
from piavpn.kube import EVENTS, PIA_VPNS, VPN_SERVICE_CONTAINERS, Cluster, KubeError, Object

_GATEWAY_PORT = 8080
_HANDSHAKE = re.compile(rb"piavpn_handshake_timestamp_seconds\S* (\S+)")
_FORBIDDEN = 403
_MOST_EVENTS = 8
_SUSPENDED = "Suspended"
_OF_PODS = (
    PodCondition.ACCEPTED,
    PodCondition.CONFINED,
    PodCondition.GATE_PASSED,
    PodCondition.LEAK_FREE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Vpn:
    """A tunnel and its gateway."""

    vpn: piavpns.PiaVpn
    gateway: pods.Pod | None
    handshake: datetime | None
    """With the server, as the gateway says; None where it has none, or may not be asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class App:
    """An app and its pod."""

    service: vpnapps.VpnServiceContainer
    pod: pods.Pod | None


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    time: datetime
    subject: str
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Overview:
    """All of it."""

    vpns: tuple[Vpn, ...]
    apps: tuple[App, ...]
    labelled_pods: tuple[pods.Pod, ...]
    events: tuple[Event, ...]
    """The last ones, oldest first."""


def look(
    api: Cluster, *, vpn: str | None, namespace: str | None, operator_namespace: str
) -> Overview:
    """Look at everything, or at one tunnel and what is behind it.

    Args:
        api: the cluster.
        vpn: name of the only PiaVpn that is wanted.
        namespace: the only one whose apps are wanted.
        operator_namespace: where gateways are.

    Raises:
        CommandError: there is no such PiaVpn.
        KubeError: the API server refused or did not answer.
    """
    vpns = [cluster.vpn(api, vpn)] if vpn is not None else cluster.vpns(api)
    services = [
        each
        for each in cluster.services(api, namespace)
        if vpn is None or each.spec.vpn_ref.name == vpn
    ]
    behind = pods.behind_vpns(api)
    by_app = {pod.app: pod for pod in behind if not pod.is_labelled}
    subjects = {f"PiaVpn {each.name}" for each in vpns}
    subjects |= {f"app {cluster.full_name(each)}" for each in services}
    return Overview(
        vpns=tuple(_vpn(api, each, operator_namespace) for each in vpns),
        apps=tuple(App(each, by_app.get(cluster.full_name(each))) for each in services),
        labelled_pods=tuple(pods.labelled(behind, vpn, namespace)),
        events=tuple(_events(api, subjects)),
    )


def trouble(conditions: Iterable[Condition]) -> str:
    """Return in words the first thing that is not as it should be; empty where all is."""
    known = list(conditions)
    ready = find(known, PiaVpnCondition.READY)
    if ready is None:
        return "the operator has said nothing of it: see whether it runs"
    if ready.status is not Status.TRUE:
        return "" if ready.reason == _SUSPENDED else f"{ready.reason}: {ready.message}"
    for each in known:
        failing = each.type == PiaVpnCondition.REGISTERED and each.reason != each.type
        if each.status is Status.FALSE or failing:
            return f"{each.type} is {each.status}: {each.reason}: {each.message}"
    return ""


def trouble_of_pod(pod: pods.Pod) -> str:
    """Return in words the first thing that is not as it should be with a labelled pod."""
    for kind in _OF_PODS:
        told = find(pod.conditions, kind)
        if told is not None and told.status is Status.FALSE:
            return f"{kind.partition('/')[2]} is False: {told.reason}: {told.message}"
    if pod.state == pods.TERMINATING:
        return ""
    for known in ("PodScheduled", "Ready"):
        told = find(pod.conditions, known)
        if told is not None and told.status is not Status.TRUE:
            return f"{known} is {told.status}: {told.reason}: {told.message}"
    return "" if told is not None else "its node's kubelet has said nothing of it"


def word(
    conditions: Iterable[Condition], kind: PiaVpnCondition | ServiceCondition | PodCondition
) -> str:
    """Return a condition's status as a word; empty where it is not there."""
    found = find(conditions, kind)
    words = {Status.TRUE: "yes", Status.FALSE: "no", Status.UNKNOWN: "unknown"}
    return words[found.status] if found is not None else ""


def _vpn(api: Cluster, vpn: piavpns.PiaVpn, namespace: str) -> Vpn:
    gateway = pods.of_gateway(api, vpn.name, namespace)
    asked = gateway is not None and vpn.status.session is not None
    return Vpn(vpn, gateway, _handshake(api, gateway) if asked and gateway else None)


def _handshake(api: Cluster, gateway: pods.Pod) -> datetime | None:
    """Ask the gateway itself: a status that said it would be written again and again."""
    pod = f"{gateway.name}:{_GATEWAY_PORT}"
    path = f"/api/v1/namespaces/{gateway.namespace}/pods/{pod}/proxy/metrics"
    try:
        for line in api.lines(path, {}):
            if found := _HANDSHAKE.match(line):
                return datetime.fromtimestamp(float(found[1]), UTC)
    except KubeError:
        return None
    return None


def _events(api: Cluster, subjects: set[str]) -> list[Event]:
    try:
        listed = [
            item
            for kind in (PIA_VPNS.kind, VPN_SERVICE_CONTAINERS.kind)
            for item in api.list(EVENTS, fields=f"involvedObject.kind={kind}")
        ]
    except KubeError as error:
        if error.status == _FORBIDDEN:
            return []
        raise
    found = [event for item in listed if (event := _event(item)).subject in subjects]
    return sorted(found, key=lambda event: event.time)[-_MOST_EVENTS:]


def _event(item: Object) -> Event:
    about = item["involvedObject"]
    is_vpn = about["kind"] == PIA_VPNS.kind
    name = about["name"] if is_vpn else f"{about.get('namespace')}/{about['name']}"
    when = item.get("lastTimestamp") or item["metadata"]["creationTimestamp"]
    return Event(
        time=datetime.fromisoformat(when),
        subject=f"{'PiaVpn' if is_vpn else 'app'} {name}",
        reason=item.get("reason", ""),
        message=item.get("message", ""),
    )


LABELS = (names.LABEL_VPN, names.LABEL_GATEWAY)
"""Of the pods that an overview shows."""
