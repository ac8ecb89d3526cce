"""What the agent asks of the API besides pods' conditions: Events, and pods to be deleted.

Sent in a thread of its own, pods to be deleted first, and again until the API server has answered.
What it cannot do now holds nothing else up. The data path never waits for it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping

from piavpn import kube
from piavpn.api import names
from piavpn.node.model import Owner, Pod

log = logging.getLogger(__name__)

REPAIRED = "Repaired"
"""Reason of an Event: a pod was not as the agent had set it, and is so again."""

Owners = Callable[[], Mapping[Owner, str]]
"""Returns the UIDs of what pods are for."""

_RETRY_SECONDS = 2.0
_NO_ANSWER, _TOO_MANY_REQUESTS, _SERVER_ERROR = 0, 429, 500


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A warning to whoever describes what a pod is for."""

    owner: Owner
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    """A pod to be deleted: this one, not another of its name."""

    pod: Pod


Errand = Event | Removal


class Outbox:
    """Takes errands from the loop and sends them."""

    def __init__(self, cluster: kube.Cluster, owners: Owners) -> None:
        self._cluster = cluster
        self._owners = owners
        self._bell = threading.Event()
        self._lock = threading.Lock()
        self._waiting: list[Errand] = []

    def put(self, errand: Errand) -> None:
        """Have it sent. Returns at once; one that waits already is not taken twice."""
        with self._lock:
            if errand not in self._waiting:
                self._waiting.append(errand)
        self._bell.set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        while not stop.is_set():
            self._bell.wait(_RETRY_SECONDS)
            self._bell.clear()
            try:
                self.send()
            except kube.KubeError as error:
                log.warning("not sent, trying again: %s", error)
                stop.wait(_RETRY_SECONDS)

    def send(self) -> None:
        """Send what waits. What the API server refuses for good is dropped.

        Raises:
            kube.KubeError: the API server did not answer, or cannot now: of what it could not, the
                rest was sent.
        """
        failed: kube.KubeError | None = None
        for errand in self._most_urgent_first():
            try:
                self._send(errand)
            except kube.KubeError as error:
                if error.status == _NO_ANSWER:
                    raise
                if error.status == _TOO_MANY_REQUESTS or error.status >= _SERVER_ERROR:
                    failed = failed or error
                    continue
                log.warning("the API server refuses: %s", error)
            with self._lock:
                self._waiting.remove(errand)
        if failed is not None:
            raise failed

    def _most_urgent_first(self) -> list[Errand]:
        with self._lock:
            return sorted(self._waiting, key=lambda errand: isinstance(errand, Event))

    def _send(self, errand: Errand) -> None:
        match errand:
            case Removal(pod):
                self._cluster.delete(kube.PODS, pod.name, pod.namespace, uid=pod.uid)
            case Event(owner, reason, message):
                uid = self._owners().get(owner)
                if uid is None:
                    return
                kind = _kind(owner)
                metadata = {"name": owner.name, "namespace": owner.namespace, "uid": uid}
                self._cluster.create_event(
                    {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata},
                    type="Warning",
                    reason=reason,
                    message=message,
                    component=names.MANAGER_NODE_AGENT,
                )


def _kind(owner: Owner) -> kube.Kind:
    if owner.is_pod:
        return kube.PODS
    return kube.PIA_VPNS if owner.is_vpn else kube.VPN_SERVICE_CONTAINERS
