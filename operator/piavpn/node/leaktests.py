"""Tests each attached service pod for leaks, again and again, in a thread of its own."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Collection
from datetime import datetime

from pyroute2 import NetlinkError

from piavpn.api.conditions import Status
from piavpn.net import nft
from piavpn.node import alarms, leakprobe, leaktest, reasons, report, sandbox
from piavpn.node.model import ClusterLink, Pod, PodPlan
from piavpn.node.verdicts import Tally, Verdict

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
"""Between tests of a pod while nothing changes in its namespace."""
_SHORTEST_SECONDS = 1.0
"""Between tests of a pod in which something changes all the time."""
_ASKED_SECONDS = 5.0
"""Between tests of a pod that somebody asks for again and again."""
_RETRY_SECONDS = 10.0
_IDLE_SECONDS = 1.0
_LIVE_SECONDS = 120.0
_MOST_UNCERTAIN = 3
"""Runs in a row with uncounted packets that are told of: locks are replaced, but not each time."""

_FRAME_SECONDS, _IDLE_FRAME_SECONDS = 0.5, 0.1
"""How long raw frames are waited for at the node's filter; less where it saw none of the last."""


@dataclasses.dataclass(slots=True)
class _Target:
    plan: PodPlan
    link: ClusterLink
    due: float = 0.0
    """On the monotonic clock."""
    tested: float = float("-inf")
    asked: datetime | None = None
    verdict: Verdict | None = None
    uncertain: int = 0
    """Runs in a row with uncounted packets."""
    tally: Tally = dataclasses.field(default_factory=Tally)


class LeakTests:
    """Keeps what is to be tested, and the last verdict on each. A leak rings the watch's alarm."""

    def __init__(self, bells: alarms.Alarms, bell: threading.Event) -> None:
        """Test nothing yet.

        Args:
            bells: rung for a pod that leaks, so that it is looked at.
            bell: rung for every other new verdict, so that it is told.
        """
        self._alarms = bells
        self._bell = bell
        self._due = threading.Event()
        self._lock = threading.Lock()
        self._targets: dict[sandbox.Sandbox, _Target] = {}
        self._last_round = time.monotonic()
        self._filter_is_idle = False
        """Whether it was so at the last test: what makes it so is the node's, not the pod's."""

    @property
    def alive(self) -> bool:
        """Whether tests are made."""
        return time.monotonic() - self._last_round < _LIVE_SECONDS

    def watch(self, seen: sandbox.Sandbox, plan: PodPlan, link: ClusterLink) -> None:
        """Have an attached pod tested from now on: soon, where it or its plan is new."""
        with self._lock:
            target = self._targets.setdefault(seen, _Target(plan, link))
            changed = (target.plan, target.link) != (plan, link)
            if changed:
                target.plan, target.link, target.uncertain = plan, link, 0
        if changed:
            self.hurry(seen)
        self._due.set()

    def hurry(self, seen: sandbox.Sandbox) -> None:
        """Test a pod soon: something in its namespace has changed."""
        with self._lock:
            target = self._targets.get(seen)
            if target is not None and not self.leak(seen):
                target.due = target.tested + _SHORTEST_SECONDS
        self._due.set()

    def ask(self, seen: sandbox.Sandbox, asked: datetime) -> None:
        """Test a pod soon, once for each time at which it was asked for."""
        with self._lock:
            target = self._targets.get(seen)
            if target is None or target.asked == asked or self.leak(seen):
                return
            target.asked = asked
            target.due = min(target.due, target.tested + _ASKED_SECONDS)
        self._due.set()

    def keep(self, sandboxes: Collection[sandbox.Sandbox]) -> None:
        """Forget all other sandboxes."""
        with self._lock:
            self._targets = {seen: it for seen, it in self._targets.items() if seen in sandboxes}

    def verdict(self, seen: sandbox.Sandbox) -> Verdict | None:
        """Return what the last test found; None where there was none yet."""
        target = self._targets.get(seen)
        return target.verdict if target else None

    def report(self, _: Pod, seen: sandbox.Sandbox | None) -> report.Report:
        """Return it as the pod's condition."""
        verdict = self.verdict(seen) if seen else None
        if verdict is None:
            return report.NOT_TESTED
        if verdict.passed:
            return report.Report(Status.TRUE, reasons.NOTHING_LEAKED, verdict.told)
        if verdict.leaks:
            return report.Report(Status.FALSE, reasons.LEAKED, verdict.told)
        if verdict.uncertain:
            return report.Report(Status.UNKNOWN, reasons.UNCOUNTED, verdict.told)
        return report.Report(Status.UNKNOWN, reasons.NOT_TESTED_YET, verdict.told)

    def tally(self, seen: sandbox.Sandbox) -> Tally:
        """Return how the sandbox's tests went."""
        target = self._targets.get(seen)
        return target.tally if target else Tally()

    def leak(self, seen: sandbox.Sandbox) -> str:
        """Return in words what got out of the pod; empty where nothing did."""
        verdict = self.verdict(seen)
        return verdict.words if verdict else ""

    def run(self, stop: threading.Event) -> None:
        """Test until `stop` is set, one pod after the other."""
        while not stop.is_set():
            self._due.wait(_IDLE_SECONDS)
            self._due.clear()
            self.test_due(stop)

    def test_due(self, stop: threading.Event | None = None) -> None:
        """Test the pods whose time has come. The calling thread is in the node's namespace."""
        self._last_round = now = time.monotonic()
        with self._lock:
            due = [
                (seen, it.plan, it.link, it.asked)
                for seen, it in self._targets.items()
                if it.due <= now
            ]
        for seen, plan, link, asked in due:
            if stop is not None and stop.is_set():
                return
            if found := _test(seen, plan, link, filter_is_idle=self._filter_is_idle):
                if found.raw_stopped is not None:
                    self._filter_is_idle = not found.raw_stopped
                self._take(seen, plan, found, asked)
            self._last_round = time.monotonic()

    def _take(
        self, seen: sandbox.Sandbox, plan: PodPlan, found: Verdict, asked: datetime | None
    ) -> None:
        with self._lock:
            target = self._targets.get(seen)
            if target is None or target.plan != plan:
                return
            target.uncertain = target.uncertain + 1 if found.uncounted else 0
            uncertain = target.uncertain >= _MOST_UNCERTAIN
            verdict = dataclasses.replace(found, uncertain=uncertain)
            before = target.verdict
            answered = before.asked if before is not None else None
            if verdict.conclusive:
                answered = asked
            target.verdict = verdict = dataclasses.replace(verdict, asked=answered)
            target.tally.take(verdict)
            target.tested = time.monotonic()
            target.due = target.tested + _pause(verdict)
            if target.asked != asked:
                target.due = min(target.due, target.tested + _ASKED_SECONDS)
        if before is not None and before.told == verdict.told:
            return
        level = logging.INFO if verdict.passed else logging.WARNING
        log.log(level, "leak test of pod %s: %s", seen.uid, verdict.told)
        self._bell.set()
        if verdict.leaks:
            self._alarms.ring(seen)


def _pause(verdict: Verdict) -> float:
    if verdict.leaks:
        # It is cut off for good: nothing can be learnt from it any more.
        return float("inf")
    if verdict.passed:
        return INTERVAL_SECONDS
    return _RETRY_SECONDS if verdict.failure or verdict.uncertain else _SHORTEST_SECONDS


def _test(
    seen: sandbox.Sandbox, plan: PodPlan, link: ClusterLink, *, filter_is_idle: bool
) -> Verdict | None:
    """Test one pod; None where it has just ended."""
    now = time.time()
    try:
        with sandbox.pinned(seen) as fd:
            outcome = leaktest.judge(leakprobe.run(fd, plan.direct))
            frames = _idle_filter_works if filter_is_idle else _filter_works
            raw = None if outcome.leaks else frames(fd, link)
    except sandbox.SandboxGoneError:
        return None
    except (nft.NftError, NetlinkError, OSError) as error:
        return Verdict(now, failure=str(error))
    except Exception as error:
        # Whatever one pod does to its test, the others' go on.
        log.exception("leak test of pod %s failed", seen.uid)
        return Verdict(now, failure=repr(error))
    return Verdict(now, outcome.tried, outcome.leaks, outcome.uncounted, raw_stopped=raw)


def _filter_works(fd: int, link: ClusterLink) -> bool | None:
    # Counters begin anew where the filter is replaced meanwhile.
    first = leakprobe.raw_frames_stopped(fd, link.address, _FRAME_SECONDS)
    if first is not False:
        return first
    return leakprobe.raw_frames_stopped(fd, link.address, _FRAME_SECONDS)


def _idle_filter_works(fd: int, link: ClusterLink) -> bool | None:
    return leakprobe.raw_frames_stopped(fd, link.address, _IDLE_FRAME_SECONDS)
