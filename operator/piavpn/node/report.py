"""Tell in the API how this node's pods are. The data path never waits for it."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from piavpn import kube
from piavpn.api import conditions, names
from piavpn.api.conditions import Condition, PodCondition, Status
from piavpn.node import reasons
from piavpn.node.decide import Problem
from piavpn.node.model import Gate, Pod, PodPlan

log = logging.getLogger(__name__)

Told = Callable[[], Mapping[str, tuple[Condition, ...]]]
"""Returns what the API says of the pods by us, by UID."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds after a write that failed
_MOST_DOUBLINGS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What one condition of a pod is to say."""

    status: Status
    reason: str
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PodReport:
    """All that is to be said of one pod: the whole set of conditions that are ours."""

    pod: Pod
    conditions: Mapping[PodCondition, Report]


NOT_TESTED = Report(
    Status.UNKNOWN,
    reasons.NOT_TESTED_YET,
    "no leak test of the pod has ended since it was attached",
)


def attached(plan: PodPlan, node: str) -> Report:
    """Return the report of a pod that is attached and locked."""
    where = f"{plan.address} on bridge {plan.network.bridge} of node {node}"
    return Report(Status.TRUE, reasons.ATTACHED, f"{where}, and locked")


def kept_out(problem: Problem) -> Report:
    """Return the report of a pod that is not attached."""
    return Report(Status.FALSE, problem.reason, problem.message)


def gate(seen: Gate) -> Report:
    """Return whether a pod's gate has let the app start."""
    if seen.passed:
        return Report(Status.TRUE, reasons.PASSED)
    if not seen.container:
        return Report(Status.FALSE, reasons.WAITING, "the gate has not been started yet")
    return Report(
        Status.FALSE, reasons.WAITING, f"see the logs of container {names.GATE_CONTAINER}"
    )


class Reporter:
    """Writes reports in a thread of its own, and again until the API has them."""

    def __init__(self, cluster: kube.Cluster, told: Told) -> None:
        self._cluster = cluster
        self._told = told
        self._bell = threading.Event()
        self._wanted: Mapping[str, PodReport] | None = None
        self._written: dict[str, tuple[Condition, ...]] = {}
        self._settled = False

    @property
    def settled(self) -> bool:
        """Whether the API says what we last had to tell."""
        return self._settled

    def tell(self, reports: Mapping[str, PodReport]) -> None:
        """Have these written: one for each pod of this node, by UID. Returns at once."""
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
                failures = min(failures + 1, _MOST_DOUBLINGS)
                self._bell.set()

    def write(self) -> None:
        """Write what the API does not say yet. What fails of one pod holds up no other.

        Raises:
            kube.KubeError: the API server refused or did not answer.
        """
        wanted = self._wanted
        if wanted is None:
            return
        self._written = {uid: known for uid, known in self._written.items() if uid in wanted}
        told = self._told()
        failed: kube.KubeError | None = None
        for uid, report in wanted.items():
            try:
                self._write(report, told.get(uid, ()))
            except kube.KubeError as error:
                failed = failed or error
        self._settled = failed is None
        if failed is not None:
            raise failed

    def _write(self, report: PodReport, in_view: tuple[Condition, ...]) -> None:
        uid = report.pod.uid
        known = self._written.get(uid, in_view)
        wanted = pod_conditions(report)
        if _timeless(known) == _timeless(wanted):
            return
        timed = conditions.transitioned(known, wanted, datetime.now(UTC))
        body = status_body(report.pod, timed)
        self._cluster.apply_status(kube.PODS, body, manager=names.MANAGER_NODE_AGENT)
        self._written[uid] = timed


def pod_conditions(report: PodReport) -> tuple[Condition, ...]:
    """Return the report's conditions, without transition times."""
    return tuple(
        Condition(type=kind, status=said.status, reason=said.reason, message=said.message)
        for kind, said in report.conditions.items()
    )


def status_body(pod: Pod, told: Iterable[Condition]) -> kube.Object:
    """Return all that the node agent owns of a pod's status.

    The UID keeps it from the next pod of that name. A pod's conditions have no generation before
    Kubernetes 1.33, and the API server refuses fields that it does not know.
    """
    listed = conditions.to_status(told)
    for item in listed:
        del item["observedGeneration"]
    metadata = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    return {"metadata": metadata, "status": {"conditions": listed}}


def _timeless(told: Iterable[Condition]) -> dict[str, Condition]:
    """Return the conditions without what two equal ones may differ in, by type."""
    return {
        item.type: dataclasses.replace(item, last_transition_time=None, observed_generation=0)
        for item in told
    }
