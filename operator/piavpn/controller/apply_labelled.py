"""Bring labelled pods to what was decided: an address for each, a NetworkPolicy for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from piavpn import kube
from piavpn.api import names
from piavpn.controller import build_policy, model

Annotate = Callable[[model.Object, Mapping[str, str | None]], None]
"""Gives a pod annotations that it has not yet."""
Delete = Callable[[model.Object, str], None]
"""Deletes a pod; says why in the log."""


class LabelledApplier:
    """Writes on labelled pods; their conditions are report's business."""

    def __init__(self, cluster: kube.Cluster, annotate: Annotate, delete: Delete) -> None:
        self._cluster = cluster
        self._annotate = annotate
        self._delete = delete

    def apply(self, seen: model.Observed, decision: model.Decision) -> kube.KubeError | None:
        """Give addresses, and end pods that may not have theirs any more.

        What the API server refuses of one pod holds up no other: the first such refusal is
        returned.

        Raises:
            kube.KubeError: the API server did not answer.
        """
        refused: kube.KubeError | None = None
        for each in decision.labelled:
            try:
                if "deletionTimestamp" in each.pod["metadata"]:
                    continue
                if each.ends:
                    self._delete(each.pod, each.accepted.message)
                elif each.address is not None:
                    self._annotate(each.pod, {names.ANNOTATION_ADDRESS: str(each.address)})
            except kube.KubeError as error:
                if not error.answered:
                    raise
                refused = refused or error
        return self._policies(seen, decision) or refused

    def _policies(self, seen: model.Observed, decision: model.Decision) -> kube.KubeError | None:
        """Keep a NetworkPolicy in each namespace with such pods, and in no other.

        Nothing waits for one. A namespace that is being deleted takes none.
        """
        refused: kube.KubeError | None = None
        if seen.vpn is None:
            return None  # they go with their owner
        name, label = names.labelled_pods_name(seen.name), f"{names.LABEL_VPN}={seen.name}"
        listed = self._cluster.list(kube.NETWORK_POLICIES, labels=label)
        there = {
            found["metadata"]["namespace"]: found["spec"]
            for found in listed
            if found["metadata"]["name"] == name
        }
        for namespace in sorted(
            {it.pod["metadata"]["namespace"] for it in decision.labelled if it.address is not None}
        ):
            policy = build_policy.for_labelled_pods(
                seen.vpn, namespace, seen.cluster_cidrs, seen.node_addresses
            )
            if there.get(namespace) == policy["spec"]:
                continue
            try:
                self._cluster.apply(kube.NETWORK_POLICIES, policy, manager=names.MANAGER_OPERATOR)
            except kube.KubeError as error:
                if not error.answered:
                    raise
                refused = refused or error
        inhabited = {pod["metadata"]["namespace"] for pod in seen.labelled_pods}
        for namespace in sorted(there.keys() - inhabited):
            self._cluster.delete(kube.NETWORK_POLICIES, name, namespace)
        return refused
