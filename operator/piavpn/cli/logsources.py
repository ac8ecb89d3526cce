"""Whose logs tell of a tunnel, and which of their lines do."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping

from piavpn.api import names
from piavpn.cli import pods
from piavpn.kube import PODS, Cluster
from piavpn.logs import in_words

_NAME = "app.kubernetes.io/name"
_OPERATOR, _NODE_AGENT = "piavpn-operator", "piavpn-node-agent"
_OF_APPS = {
    names.GATE_CONTAINER: "gate",
    names.PORT_HOOK_CONTAINER: "port hook",
    names.EXIT_HOOK_CONTAINER: "exit hook",
}
"""Containers that are ours in an app's pod, and what they are called here."""
_OWN_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
_SECONDS, _MILLISECONDS = len("2026-11-23T12:00:00"), 3


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Line:
    """A line of some log."""

    time: str
    """As the kubelet took it: RFC 3339 in UTC, with nine digits of the second's fraction."""
    part: str
    text: str

    @property
    def clock(self) -> str:
        """The time of the day, to the millisecond."""
        return self.time[len("2026-11-23T") : _SECONDS + 1 + _MILLISECONDS]


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """The log of a container."""

    part: str
    namespace: str
    pod: str
    container: str
    subjects: frozenset[str] = frozenset()
    """What a line must name to be about the tunnel; none: all are."""

    def lines(self, api: Cluster, query: Mapping[str, str]) -> Iterator[Line]:
        """Yield the lines about the tunnel.

        Raises:
            KubeError: the API server refused, or the answer breaks off.
        """
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}/log"
        wanted = {"container": self.container, "timestamps": "true", **query}
        for raw in api.lines(path, wanted, follow="follow" in query):
            time, _, text = raw.decode(errors="replace").partition(" ")
            if not self.subjects or _is_about(text, self.subjects):
                yield Line(_comparable(time), self.part, _OWN_TIME.sub("", text, count=1))


def find(api: Cluster, vpn: str, namespace: str) -> list[Source]:
    """Return the sources that there are now.

    Args:
        api: the cluster.
        vpn: name of the PiaVpn.
        namespace: the operator's.

    Raises:
        KubeError: the API server refused or did not answer.
    """
    gateway = pods.of_gateway(api, vpn, namespace)
    apps = [pod for pod in pods.behind_vpns(api) if pod.vpn == vpn]
    subjects = _subjects(vpn, gateway, apps)
    nodes = {pod.node for pod in (gateway, *apps) if pod is not None}
    found = []
    for pod in _labelled(api, namespace, _OPERATOR):
        found += _sources(pod, "operator", subjects)
    for pod in _labelled(api, namespace, _NODE_AGENT):
        if pod.node in nodes:
            found += _sources(pod, f"agent on {pod.node}", subjects)
    if gateway is not None:
        found += _sources(gateway, "gateway", frozenset())
    for pod in apps:
        found += [
            Source(f"{pod.app} {_OF_APPS[name]}", pod.namespace, pod.name, name)
            for name in pod.containers
            if name in _OF_APPS
        ]
    return found


def _labelled(api: Cluster, namespace: str, name: str) -> list[pods.Pod]:
    listed = map(pods.read, api.list(PODS, namespace, labels=f"{_NAME}={name}"))
    return [pod for pod in listed if pod is not None]


def _sources(pod: pods.Pod, part: str, subjects: frozenset[str]) -> list[Source]:
    return [Source(part, pod.namespace, pod.name, name, subjects) for name in pod.containers]


def _subjects(vpn: str, gateway: pods.Pod | None, apps: list[pods.Pod]) -> frozenset[str]:
    own = [*apps, gateway] if gateway is not None else apps
    return frozenset((
        f"PiaVpn {vpn}",
        names.gateway_name(vpn),
        names.bridge_name(vpn),
        *(f"VpnServiceContainer {pod.app}" for pod in apps if not pod.is_labelled),
        *(f"{pod.namespace}/{pod.name}" for pod in own),
        *(pod.uid for pod in own),
    ))  # fmt: skip


def _is_about(text: str, subjects: frozenset[str]) -> bool:
    if text.startswith("{"):
        try:
            said = json.loads(text)
            text = f"{in_words(said['object'])}: {said.get('msg')}"
        except (ValueError, KeyError, TypeError):
            pass
    return any(_names(text, subject) for subject in subjects)


def _names(text: str, subject: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(subject)}(?![\w/-])", text) is not None


def _comparable(time: str) -> str:
    """Return the time with all digits of its fraction; the kubelet leaves zeros at the end out."""
    seconds, fraction = time[:_SECONDS], time[_SECONDS:].strip(".Z")
    return f"{seconds}.{fraction:0<9}Z"
