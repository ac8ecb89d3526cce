"""What is remembered of each pod between passes, and when to look at it again."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from piavpn import logs
from piavpn.node import alarms, brake, cutoffs, leaktests, outbox, reasons, sandbox
from piavpn.node.attach import Attacher, Done
from piavpn.node.decide import Problem
from piavpn.node.model import Pod, PodPlan, Role
from piavpn.timings import Timings

log = logging.getLogger(__name__)

CHECK_SECONDS = {Role.GATEWAY: 5.0, Role.SERVICE: 15.0}
"""Between looks into an attached pod's namespace, besides those that an alarm asks for."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 10.0
"""Seconds between attempts that fail."""

# A pod's sandbox comes within a second or so after the pod, and its gate waits for us from then on:
# so look often at first. (Seconds that a pod has waited, seconds between looks.)
_IMPATIENCE = ((5.0, 0.02), (60.0, 0.2))

ATTACH_SECONDS = 5.0
"""Of a pass, in which pods are attached: those that are left over come in the next one. However
many start at once, those that are attached are looked after, and the Lease says so."""

_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_NOT_YET = (reasons.WAITING_FOR_SANDBOX, reasons.WAITING_FOR_CLUSTER_NETWORK)
_NO_SANDBOX = Problem(
    reasons.WAITING_FOR_SANDBOX, "the container runtime has not made the pod's sandbox yet"
)

Outcome = Done | Problem


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A pod of the node, as it was at its last look."""

    pod: Pod
    sandbox: sandbox.Sandbox | None
    attached: bool
    """And locked."""


@dataclasses.dataclass(slots=True)
class _Tracked:
    pod: Pod
    since: float
    found: float | None = None
    """When its sandbox was seen first, by the monotonic clock."""
    was_attached: bool = False
    plan: PodPlan | Problem | None = None
    sandbox: sandbox.Sandbox | None = None
    outcome: Outcome = _NO_SANDBOX
    next_look: float = 0.0
    failures: int = 0


class Pods:
    """Brings each pod to its plan, as often as that makes sense."""

    def __init__(
        self,
        attacher: Attacher,
        bells: alarms.Alarms,
        errands: outbox.Outbox,
        tests: leaktests.LeakTests,
    ) -> None:
        self._attacher = attacher
        self._alarms = bells
        self._outbox = errands
        self._leak_tests = tests
        self._tracked: dict[str, _Tracked] = {}
        self._changed: set[sandbox.Sandbox] = set()
        self._attach_until = float("inf")
        """By the monotonic clock."""
        self._brake = brake.Brake()
        self.cut_offs = cutoffs.CutOffs()
        self.durations = Timings(_BOUNDS)
        """From when a pod's sandbox was seen until it was attached and locked, by role."""

    def bring(
        self, pod: Pod, plan: PodPlan | Problem, seen: sandbox.Sandbox | None, now: float
    ) -> Outcome | None:
        """Return how the pod is, after doing what is due; None where that is left to later passes.

        Args:
            pod: the pod.
            plan: how it is to be, or why that cannot be told.
            seen: its sandbox; None while it has none.
            now: the monotonic clock.
        """
        tracked = self._tracked.get(pod.uid)
        if tracked is None or (tracked.sandbox is not None and tracked.sandbox != seen):
            before, tracked = tracked, _Tracked(pod, since=now)
            if before is not None:
                log.info("its sandbox has ended", extra=_about(pod))
                tracked.plan = before.plan  # we have looked at it, and it is confined no more
            self._tracked[pod.uid] = tracked
        if seen is None:
            return plan if isinstance(plan, Problem) else tracked.outcome
        if tracked.found is None:
            tracked.found = time.monotonic()
        if plan != tracked.plan or now >= tracked.next_look or seen in self._changed:
            if self._is_left_over(tracked, seen):
                return None if tracked.plan is None else tracked.outcome
            self._look(pod, tracked, plan, seen, now)
        if pod.leak_test_asked is not None:
            self._leak_tests.ask(seen, pod.leak_test_asked)
        return tracked.outcome

    def begin(self, uids: Collection[str], sandboxes: Mapping[str, sandbox.Sandbox]) -> None:
        """Begin a pass: forget all other pods and sandboxes, and hear what has changed."""
        self._tracked = {uid: seen for uid, seen in self._tracked.items() if uid in uids}
        self._attacher.keep(set(sandboxes.values()))
        self._leak_tests.keep(set(sandboxes.values()))
        self._changed = self._alarms.changed()
        self._attach_until = time.monotonic() + ATTACH_SECONDS

    def members(self) -> list[Member]:
        """Return all pods, oldest first; also for other threads."""
        return [
            Member(tracked.pod, tracked.sandbox, attached=isinstance(tracked.outcome, Done))
            for tracked in list(self._tracked.values())
        ]

    def patience(self, now: float) -> float:
        """Return the seconds after which some pod wants to be looked at again."""
        waiting = [
            now - tracked.since
            for tracked in self._tracked.values()
            if isinstance(tracked.outcome, Problem) and tracked.outcome.reason in _NOT_YET
        ]
        shortest = min(waiting, default=float("inf"))
        return next((pause for limit, pause in _IMPATIENCE if shortest < limit), float("inf"))

    def _is_left_over(self, tracked: _Tracked, seen: sandbox.Sandbox) -> bool:
        """Tell whether the pod waits for a later pass: one that nothing has let out yet may."""
        settled = isinstance(tracked.outcome, Done) or seen in self._changed
        return not settled and time.monotonic() >= self._attach_until

    def _look(
        self,
        pod: Pod,
        tracked: _Tracked,
        plan: PodPlan | Problem,
        seen: sandbox.Sandbox,
        now: float,
    ) -> None:
        outcome = self._attacher.bring(plan, seen)
        settled = tracked.plan == plan and isinstance(tracked.outcome, Done)
        seconds = time.monotonic() - tracked.since
        _log(pod, tracked.outcome, outcome, seconds, settled=settled)
        self._count(pod, tracked, outcome, seen)
        self._tell(pod, tracked.outcome, outcome, now, settled=settled)
        tracked.plan, tracked.sandbox, tracked.outcome = plan, seen, outcome
        if isinstance(outcome, Done):
            tracked.failures = 0
            tracked.next_look = now + CHECK_SECONDS[pod.role]
            if seen in self._changed:
                self._leak_tests.hurry(seen)
        elif outcome.reason in _NOT_YET:
            tracked.next_look = now
        else:
            tracked.next_look = now + min(FIRST_RETRY * 2**tracked.failures, LONGEST_RETRY)
            tracked.failures += 1

    def _count(self, pod: Pod, tracked: _Tracked, after: Outcome, seen: sandbox.Sandbox) -> None:
        before = tracked.outcome
        if isinstance(after, Done) and not tracked.was_attached:
            tracked.was_attached = True
            if after.steps and tracked.found is not None:  # nothing is to be done after a restart
                self.durations.add(time.monotonic() - tracked.found, pod.role)
        if _is_cut_off(after) and not _is_cut_off(before):
            leaked = bool(self._leak_tests.leak(seen))
            self.cut_offs.count(pod.owner, cutoffs.LEAKED if leaked else cutoffs.TAMPERED)

    def _tell(
        self, pod: Pod, before: Outcome, after: Outcome, now: float, *, settled: bool
    ) -> None:
        """Ask for what follows from how the pod is; one that is being deleted already is let go."""
        if isinstance(after, Done):
            if settled and after.steps:
                message = f"pod {pod.name} was not as it had been set: {_words(after)}"
                self._outbox.put(outbox.Event(pod.owner, outbox.REPAIRED, message))
        elif after.reason == reasons.TAMPERED and not pod.ending:
            # Asked for at each look until it is gone. It is cut off, and can wait.
            if self._brake.lets(pod, now):
                self._outbox.put(outbox.Removal(pod))
            if after != before:
                message = f"pod {pod.name}: {after.message}"
                self._outbox.put(outbox.Event(pod.owner, after.reason, message))


def _is_cut_off(outcome: Outcome) -> bool:
    return isinstance(outcome, Problem) and outcome.reason == reasons.TAMPERED


def _words(done: Done) -> str:
    return ", ".join(done.steps)


def _about(pod: Pod, reason: str | None = None, seconds: float | None = None) -> dict[str, Any]:
    return logs.about("Pod", pod.name, pod.namespace, reason=reason, seconds=seconds)


def _log(pod: Pod, before: Outcome, after: Outcome, seconds: float, *, settled: bool) -> None:
    """Log what became of a pod, `seconds` after it was first seen."""
    if isinstance(after, Problem):
        if after != before:
            level = logging.INFO if after.reason in _NOT_YET else logging.WARNING
            log.log(level, "%s", after.message, extra=_about(pod, after.reason))
    elif settled and after.steps:
        repaired = _about(pod, outbox.REPAIRED)
        log.warning("was not as it had been set, repaired: %s", _words(after), extra=repaired)
    elif not isinstance(before, Done) or after.steps:
        done = _words(after) or "nothing to do"
        log.info("attached and locked: %s", done, extra=_about(pod, reasons.ATTACHED, seconds))
