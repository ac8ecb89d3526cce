"""Publish the node's public key, while a VPN of the cluster wants the nodes' traffic encrypted."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable

from piavpn import kube
from piavpn.api import names, node_keys
from piavpn.api.node_keys import NodeKey
from piavpn.net import wg

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Publisher:
    """Writes the ConfigMap in a thread of its own, whenever the API does not say the key."""

    cluster: kube.Cluster
    node: str
    namespace: str
    """The operator's."""
    public_key: Callable[[], str]
    """Returns this node's, and makes it where there is none."""
    node_uid: Callable[[], str | None]
    """Returns the UID of the Node, with which the ConfigMap is to go."""
    wanted: Callable[[], bool]
    """Tells whether any VPN wants it."""
    published: Callable[[], str | None]
    """Returns the key that the API says."""

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set."""
        pause = _LOOK_SECONDS
        while not stop.wait(pause):
            pause = _LOOK_SECONDS
            try:
                self.publish()
            except (kube.KubeError, wg.WgError, OSError) as error:
                log.warning("the node's key is not published, trying again: %s", error)
                pause = _RETRY_SECONDS

    def publish(self) -> None:
        """Publish the key unless the API says it already, or nobody wants it.

        Raises:
            kube.KubeError: the API server refused or did not answer.
            wg.WgError, OSError: there is no key, and none can be made.
        """
        uid = self.node_uid()
        if uid is None or not self.wanted():
            return
        key = NodeKey(self.node, self.public_key())
        if self.published() != key.public_key:
            body = node_keys.config_map(key, namespace=self.namespace, node_uid=uid)
            self.cluster.apply(kube.CONFIG_MAPS, body, manager=names.MANAGER_NODE_AGENT)
