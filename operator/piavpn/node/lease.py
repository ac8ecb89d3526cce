"""Tell in the API that this node's agent lives: a condition proves nothing once its writer is gone.

A Lease is renewed only after passes that looked after every pod of which the API says that it is
confined, and whose reports were written: the first renewal says that all these were verified anew.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import names, node_facts
from piavpn.api.node_facts import NodeFacts

log = logging.getLogger(__name__)

DURATION_SECONDS = 40
_RENEWAL_SECONDS = 10.0
_LOOK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Whose Lease it is."""

    node: str
    pod: str
    namespace: str
    """Of pod and Lease."""


class Heartbeat:
    """Renews the node's Lease in a thread of its own."""

    def __init__(
        self,
        cluster: kube.Cluster,
        holder: Holder,
        *,
        node_uid: Callable[[], str | None],
        passes: Callable[[], int],
        facts: Callable[[], NodeFacts | None],
    ) -> None:
        """Take what tells whether there is something to attest.

        Args:
            cluster: the API.
            holder: whose Lease it is.
            node_uid: returns the UID of the Node, with which the Lease is to go.
            passes: returns how many passes are complete and reported; 0 while one is not.
            facts: returns what is known of the node; None where nothing is.
        """
        self._cluster = cluster
        self._holder = holder
        self._node_uid = node_uid
        self._passes = passes
        self._facts = facts
        self._attested = 0
        self._due = 0.0

    def run(self, stop: threading.Event) -> None:
        """Renew until `stop` is set; then leave it to run out, or to the next agent."""
        while not stop.wait(_LOOK_SECONDS):
            if time.monotonic() < self._due:
                continue
            try:
                if self.renew():
                    self._due = time.monotonic() + _RENEWAL_SECONDS
            except kube.KubeError as error:
                log.warning("Lease not renewed, trying again: %s", error)

    def renew(self) -> bool:
        """Renew the Lease if there were passes since the last time; tell whether it was.

        Raises:
            kube.KubeError: the API server refused or did not answer.
        """
        passes, uid = self._passes(), self._node_uid()
        if passes in {0, self._attested} or uid is None:
            return False
        body = lease(self._holder, uid, datetime.now(UTC), self._facts())
        self._cluster.apply(kube.LEASES, body, manager=names.MANAGER_NODE_AGENT)
        self._attested = passes
        return True


def lease(
    holder: Holder, node_uid: str, now: datetime, facts: NodeFacts | None = None
) -> kube.Object:
    """Return the Lease as renewed `now`, with these facts of its Node; it goes with that."""
    told = {names.ANNOTATION_NODE_FACTS: node_facts.to_annotation(facts)} if facts else {}
    node = {"apiVersion": "v1", "kind": "Node", "name": holder.node, "uid": node_uid}
    return {
        "metadata": {
            "name": names.lease_name(holder.node),
            "namespace": holder.namespace,
            "labels": {names.LABEL_NODE_AGENT: ""},
            "annotations": told,
            "ownerReferences": [node],
        },
        "spec": {
            "holderIdentity": holder.pod,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
