"""Tell in the API how this node's pods are. The data path never waits for it."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from piavpn import kube
from piavpn.api import conditions, names
from piavpn.api.conditions import Condition, PiaVpnCondition, ServiceCondition, Status
from piavpn.node import reasons
from piavpn.node.decide import Problem
from piavpn.node.model import Owner, PodPlan
from piavpn.node.view import Resource

log = logging.getLogger(__name__)

Resources = Callable[[], Mapping[Owner, Resource]]
"""Tells what the API says of the custom resources."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds after a write that failed


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What the custom resource of a pod is to say."""

    status: Status
    reason: str
    message: str
    node: str | None
    """None where the pod is gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a custom resource says by the node agent."""

    condition: Condition | None
    node: str | None
    """Of a PiaVpn: where its gateway is. Always None for a service."""

    def timeless(self) -> Told:
        """Return it without the transition time, to compare."""
        if self.condition is None:
            return self
        return Told(dataclasses.replace(self.condition, last_transition_time=None), self.node)


GONE = Report(Status.FALSE, reasons.NO_POD, "no pod of it is on any node", None)


def attached(plan: PodPlan, node: str) -> Report:
    """Return the report of a pod that is attached and locked."""
    where = f"{plan.address} on bridge {plan.network.bridge} of node {node}"
    return Report(Status.TRUE, reasons.ATTACHED, f"{where}, and locked", node)


def kept_out(problem: Problem, node: str) -> Report:
    """Return the report of a pod that is not attached."""
    return Report(Status.FALSE, problem.reason, problem.message, node)


class Reporter:
    """Writes reports in a thread of its own, and again until the API has them."""

    def __init__(self, cluster: kube.Cluster, resources: Resources, node: str) -> None:
        self._cluster = cluster
        self._resources = resources
        self._node = node
        self._bell = threading.Event()
        self._wanted: Mapping[Owner, Report] = {}
        self._reported: set[Owner] = set()
        self._written: dict[str, Told] = {}

    def tell(self, reports: Mapping[Owner, Report]) -> None:
        """Have these written: one for each resource with a pod here. Returns at once."""
        if reports != self._wanted:
            self._wanted = dict(reports)
            self._bell.set()

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set."""
        failures = 0
        while not stop.is_set():
            if not self._bell.wait(_LONGEST_WAIT):
                # By now the watches have told all that we wrote: believe them, not our memory.
                self._written.clear()
            self._bell.clear()
            if stop.is_set():
                return
            try:
                self.write()
                failures = 0
            except kube.KubeError as error:
                log.warning("status not written, trying again: %s", error)
                stop.wait(min(_FIRST_WAIT * 2**failures, _LONGEST_WAIT))
                failures += 1
                self._bell.set()

    def write(self) -> None:
        """Write what the API does not say yet.

        Raises:
            kube.KubeError: the API server refused or did not answer.
        """
        resources = self._resources()
        wanted = self._wanted
        for owner in self._gone(wanted, resources):
            if not self._runs_elsewhere(owner):
                self._write(owner, resources[owner], GONE)
        self._reported = set(wanted)
        for owner, report in wanted.items():
            if owner in resources:
                self._write(owner, resources[owner], report)

    def _gone(
        self, wanted: Mapping[Owner, Report], resources: Mapping[Owner, Resource]
    ) -> list[Owner]:
        """Return the resources that were told to have a pod here, and have none any more."""
        ours = {owner for owner, resource in resources.items() if resource.node == self._node}
        return [owner for owner in ours | self._reported if owner in resources.keys() - wanted]

    def _runs_elsewhere(self, owner: Owner) -> bool:
        """Ask whether the pod has moved: then the agent there is the one that writes."""
        label = names.LABEL_GATEWAY if owner.is_vpn else names.LABEL_SERVICE
        pods = self._cluster.list(kube.PODS, owner.namespace, labels=f"{label}={owner.name}")
        return any(pod["spec"].get("nodeName") for pod in pods)

    def _write(self, owner: Owner, resource: Resource, report: Report) -> None:
        wanted = condition(owner, report, resource.generation)
        in_view = Told(conditions.find(resource.conditions, wanted.type), resource.node)
        known = self._written.get(resource.uid, in_view)
        told = Told(wanted, report.node if owner.is_vpn else None)
        if told == known.timeless():
            return
        before = [known.condition] if known.condition else []
        (timed,) = conditions.transitioned(before, [wanted], datetime.now(UTC))
        kind = kube.PIA_VPNS if owner.is_vpn else kube.VPN_SERVICE_CONTAINERS
        body = status_body(owner, timed, told.node)
        self._cluster.apply_status(kind, body, manager=names.MANAGER_NODE_AGENT)
        self._written[resource.uid] = Told(timed, told.node)


def condition(owner: Owner, report: Report, generation: int) -> Condition:
    """Return the report as the condition that the owner's kind has for it."""
    kind = PiaVpnCondition.GATEWAY_ATTACHED if owner.is_vpn else ServiceCondition.CONFINED
    return Condition(
        type=kind,
        status=report.status,
        reason=report.reason,
        message=report.message,
        observed_generation=generation,
    )


def status_body(owner: Owner, told: Condition, node: str | None) -> kube.Object:
    """Return all that the node agent owns of a resource's status."""
    metadata = {"name": owner.name}
    status: dict[str, Any] = {"conditions": conditions.to_status([told])}
    if owner.namespace is not None:
        metadata["namespace"] = owner.namespace
    if node is not None:
        status["nodeName"] = node
    return {"metadata": metadata, "status": status}
