"""Look at the node agents' Leases: by one list every few seconds, however many nodes there are."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from piavpn import kube, logs
from piavpn.api import names
from piavpn.controller import heartbeats, model

log = logging.getLogger(__name__)

_POLL_SECONDS = 5.0
_LONGEST_STEP = 2 * _POLL_SECONDS
"""What one look may add to an agent's silence: longer is our own absence, or the API server's."""


class Leases:
    """Knows which nodes' agents are silent, and asks for passes when that changes."""

    def __init__(self, cluster: kube.Cluster, namespace: str, changed: Callable[[], None]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._changed = changed
        self._lock = threading.Lock()
        self._expected: dict[str, frozenset[str]] = {}  # by VPN
        self._known: dict[str, heartbeats.Heartbeat] = {}
        self._looked: float | None = None

    def silent(self, vpn: str, nodes: Iterable[str]) -> dict[str, model.Silence]:
        """Return those of the nodes, on which this VPN's pods are now, whose agents are silent."""
        wanted = frozenset(nodes)
        with self._lock:
            self._expected[vpn] = wanted
            if not wanted:
                del self._expected[vpn]
            known = {node: beat for node, beat in self._known.items() if node in wanted}
        return {
            node: model.Silence(heartbeat.renewed)
            for node, heartbeat in known.items()
            if heartbeat.silent
        }

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            try:
                self.look()
            except kube.KubeError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("a look at the node agents' Leases failed unexpectedly")
            stop.wait(_POLL_SECONDS)

    def look(self) -> None:
        """Look once.

        Raises:
            kube.KubeError: the API server refused or did not answer.
        """
        listed = self._cluster.list(
            kube.LEASES, self._namespace, labels=f"{names.LABEL_NODE_AGENT}="
        )
        moment = time.monotonic()
        elapsed = 0.0 if self._looked is None else min(moment - self._looked, _LONGEST_STEP)
        self._looked = moment
        with self._lock:
            before = _silent(self._known)
            expected = frozenset[str]().union(*self._expected.values())
            self._known = heartbeats.heard(
                self._known, listed, expected, elapsed, datetime.now(UTC)
            )
            after = _silent(self._known)
        for node in after - before:
            log.warning(
                "the node agent of node %s is silent",
                node,
                extra=logs.about("Node", node, reason="NodeAgentSilent"),
            )
        for node in before - after:
            log.info(
                "the node agent of node %s is heard of again, or its node is gone",
                node,
                extra=logs.about("Node", node),
            )
        if after != before:
            self._changed()


def _silent(known: dict[str, heartbeats.Heartbeat]) -> set[str]:
    return {node for node, heartbeat in known.items() if heartbeat.silent}
