"""The agent's loop: look, decide, do what is left to do, tell."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from piavpn.api.conditions import PodCondition, Status
from piavpn.node import bridge, hooks, plans, report, sandbox
from piavpn.node.attach import Done
from piavpn.node.decide import Problem
from piavpn.node.gates import Gates
from piavpn.node.host import Host, Problems
from piavpn.node.messages import Messages
from piavpn.node.model import Pod, Role
from piavpn.node.plans import NodePlan
from piavpn.node.pods import Pods
from piavpn.node.report import PodReport, Report, Reporter
from piavpn.node.view import View

log = logging.getLogger(__name__)

LeakFree = Callable[[Pod, sandbox.Sandbox | None], Report]
"""Returns at once what the last leak test of a service's pod found, in this sandbox of it."""

_HOST_SECONDS = 5.0
"""Between looks at bridges, filter and proxies while nothing changes."""
_HOST_RETRY_SECONDS = 1.0
_SWEEP_SECONDS = 1.0
"""Between looks for sandboxes: a rebuilt one announces itself by no event."""
_LIVE_SECONDS = 120.0


class Loop:
    """Makes passes in one thread, which stays in the node's network namespace."""

    def __init__(  # noqa: PLR0913, PLR0917 - these are the parts that it drives
        self,
        view: View,
        host: Host,
        pods: Pods,
        reporter: Reporter,
        leak_free: LeakFree,
        node: str,
    ) -> None:
        self._view = view
        self._host = host
        self._pods = pods
        self._reporter = reporter
        self._leak_free = leak_free
        self._gates = Gates()
        self._sandboxes = sandbox.Finder()
        self._node = node
        self._messages = Messages()
        self._uplink_mtu = 0
        self._host_plan: NodePlan | None = None
        self._host_problems = Problems()
        self._next_host_look = 0.0
        self._last_pass = time.monotonic()
        self.passes = 0
        """That looked after every pod that was due and that anybody may take for confined."""

    @property
    def alive(self) -> bool:
        """Whether passes are made."""
        return time.monotonic() - self._last_pass < _LIVE_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Make passes until `stop` is set: at every change, and now and then without.

        Then leave on the node what its pods need, and nothing else.
        """
        pause = 0.0
        while not stop.is_set():
            self._view.bell.wait(pause)
            self._view.bell.clear()
            pause = _SWEEP_SECONDS
            if self._view.complete:
                try:
                    pause = self.make_pass()
                except Exception:
                    # One pass that fails must not end the agent: the next begins from the start.
                    log.exception("pass failed")
            self._last_pass = time.monotonic()
        self._host.stop()
        if self._view.complete:
            self._host.leave(plans.node_plan(self._view.snapshot(), self._uplink_mtu))

    def make_pass(self) -> float:
        """Bring node and pods to what the API says; return the seconds until the next pass."""
        now = time.monotonic()
        if now >= self._next_host_look:
            self._uplink_mtu = bridge.uplink_mtu()
        snapshot = self._view.snapshot()
        plan = plans.node_plan(snapshot, self._uplink_mtu)
        self._bring_host(plan, now)
        sandboxes = self._sandboxes.find(plan.pods.keys())
        self._pods.begin(plan.pods.keys(), sandboxes)
        self._gates.keep(plan.pods.keys())
        reports = (self._report(pod, plan, sandboxes.get(pod.uid), now) for pod in snapshot.pods)
        told = {report.pod.uid: report for report in reports if report is not None}
        self._reporter.tell(told)
        self._messages.forget({pod.port_hook for pod in snapshot.pods if pod.port_hook})
        if not self._believed().difference(told):
            self.passes += 1
        return min(self._pods.patience(now), _SWEEP_SECONDS)

    def _believed(self) -> set[str]:
        """Return the UIDs of the pods that are confined by what the API says, be it long ago."""
        return {
            uid
            for uid, conditions in self._view.told().items()
            for said in conditions
            if said.type == PodCondition.CONFINED and said.status is Status.TRUE
        }

    def _bring_host(self, plan: NodePlan, now: float) -> None:
        known = self._host_plan
        changed = known is None or dataclasses.replace(plan, pods=known.pods) != known
        if changed or now >= self._next_host_look:
            self._host_problems = self._host.bring(plan)
            self._host_plan = plan
            wrong = self._host_problems != Problems()
            self._next_host_look = now + (_HOST_RETRY_SECONDS if wrong else _HOST_SECONDS)

    def _report(
        self, pod: Pod, plan: NodePlan, seen: sandbox.Sandbox | None, now: float
    ) -> PodReport | None:
        confined = self._confined(pod, plan, seen, now)
        if confined is None:
            return None  # what an earlier agent said of it stands
        told = {PodCondition.CONFINED: confined}
        if pod.role is Role.SERVICE:
            told[PodCondition.GATE_PASSED] = self._gates.report(pod, now)
            told[PodCondition.LEAK_FREE] = self._leak_free(pod, seen)
        if pod.port_hook is not None:
            told[PodCondition.PORT_TOLD] = hooks.report(self._messages.read(pod.port_hook))
        return PodReport(pod, told)

    def _confined(
        self, pod: Pod, plan: NodePlan, seen: sandbox.Sandbox | None, now: float
    ) -> Report | None:
        planned = plan.pods[pod.uid]
        wanted = planned
        if not isinstance(planned, Problem):
            wanted = self._host_problems.bridges.get(pod.vpn, planned)
        outcome = self._pods.bring(pod, wanted, seen, now)
        if outcome is None:
            return None
        if isinstance(outcome, Done) and pod.role is Role.GATEWAY:
            outcome = self._host_problems.proxies.get(pod.vpn, outcome)
        if isinstance(outcome, Done) and _is_across_nodes(pod, plan):
            outcome = self._host_problems.overlays.get(pod.vpn, outcome)
        if isinstance(outcome, Problem):
            return report.kept_out(outcome)
        if isinstance(planned, Problem):
            return report.kept_out(planned)
        return report.attached(planned, self._node)


def _is_across_nodes(pod: Pod, plan: NodePlan) -> bool:
    """Tell whether what the pod is for goes by other nodes: not of an app beside its gateway."""
    return pod.role is Role.GATEWAY or pod.vpn not in plan.proxies
