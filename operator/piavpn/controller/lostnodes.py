"""Nodes that are heard of no more, or that are gone, with pods of ours still bound to them.

Such pods stay: what runs on a node that is only silent has its address and its key still, and
Kubernetes makes no second one. Whoever knows that the node is off can say so; the operator cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from piavpn import kube
from piavpn.controller import mirror, model, readiness


def of_pods(
    cluster: kube.Cluster, pods: Iterable[model.Object | None]
) -> dict[str, model.LostNode]:
    """Return the lost ones among the nodes of pods that are not ready, by name.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    waiting = (pod for pod in pods if pod is not None and not readiness.is_ready(pod))
    concerned = {node for pod in waiting if (node := mirror.node_of(pod)) is not None}
    found = {node: _seen(cluster, node) for node in sorted(concerned)}
    return {node: lost for node, lost in found.items() if lost is not None}


def _seen(cluster: kube.Cluster, name: str) -> model.LostNode | None:
    listed = cluster.list(kube.NODES, fields=f"metadata.name={name}")
    if not listed:
        return model.LostNode(deleted=True)
    for condition in (listed[0].get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "Unknown":
            since = condition.get("lastTransitionTime")
            return model.LostNode(since=datetime.fromisoformat(since) if since else None)
    return None
