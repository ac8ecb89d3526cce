"""The loop around the passes: whatever happened, the whole VPN is looked at again."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from piavpn import keptlists, kube, logs
from piavpn.api import names
from piavpn.controller import (
    accounts,
    apply,
    decide,
    errands,
    observe,
    report,
    standings,
)
from piavpn.controller import pulse as pulses
from piavpn.controller import queue as queues
from piavpn.timings import SUCCESS, Timings

log = logging.getLogger(__name__)

HOUSEKEEPING = ""
"""In the queue among the VPNs' names: what belongs to none of them."""

_DEBOUNCE_SECONDS = 0.05  # one change of an object makes several events
_FIRST_RETRY, _LONGEST_RETRY, _MOST_DOUBLINGS = 1.0, 60.0, 6
_LONGEST_REST = 2.0
_TAKE_SECONDS = 5.0
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

CONFLICT, API_ERROR, UNEXPECTED = "conflict", "api_error", "unexpected"
RESULTS = (SUCCESS, CONFLICT, API_ERROR, UNEXPECTED)
"""How a pass ends: also as another writer was there first, or the API failed, or we are wrong."""


class Reconciler:
    """Runs passes in one thread: addresses and subnets are given by one hand."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that a pass works with
        self,
        cluster: kube.Cluster,
        namespace: str,
        observer: observe.Observer,
        queue: queues.DueQueue,
        runner: errands.Errands,
        pulse: pulses.Pulse,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._observer = observer
        self._queue = queue
        self._errands = runner
        self._applier = apply.Applier(cluster)
        self._reporter = report.Reporter(cluster)
        self.standings = standings.Standings()
        self.durations = Timings(_BOUNDS)  # of passes, by result
        self._failures: dict[str, int] = {}
        self._rested: dict[str, float] = {}
        """Until when each VPN rests, by the monotonic clock: after a pass for as long as it took.

        While many apps start there is always a reason for another pass, which looks at all apps.
        """
        self._pulse = pulse

    def wake(self, vpn: str) -> None:
        """Ask for a pass over this VPN soon."""
        self._queue.add(vpn, _DEBOUNCE_SECONDS)

    def wake_all(self) -> None:
        """Ask for a pass over every VPN, and for housekeeping."""
        self._queue.add(HOUSEKEEPING, _DEBOUNCE_SECONDS)

    def healthy(self) -> bool:
        """Tell whether the loop goes round."""
        return not self._pulse.stuck()

    def run(self, stop: threading.Event) -> None:
        """Make passes until `stop` is set."""
        self.wake_all()
        while not stop.is_set():
            self._pulse.beat()
            name = self._queue.take(_TAKE_SECONDS)
            if name is None:
                continue
            if (rest := self._rested.get(name, 0.0) - time.monotonic()) > 0:
                self._queue.add(name, rest)
                continue
            again = self._try(name)
            if again is not None:
                self._queue.add(name, again)

    def _try(self, name: str) -> float | None:
        """Make a pass; return the seconds until the next one is due, None if never."""
        begun = time.monotonic()

        def about() -> dict[str, Any]:
            return _about(name, time.monotonic() - begun)

        try:
            with self.durations.timed(failure=_result):
                again = self._housekeeping() if name == HOUSEKEEPING else self._pass(name)
        except kube.KubeError as error:
            # Another writer may be there first once; one who always is must be told of.
            once = error.conflict and name not in self._failures
            level = logging.DEBUG if once else logging.WARNING
            log.log(level, "a pass failed, trying again: %s", error, extra=about())
        except Exception:
            log.exception("a pass failed unexpectedly", extra=about())
        else:
            self._failures.pop(name, None)
            log.debug("passed", extra=about())
            return again
        doublings = self._failures.get(name, 0)
        self._failures[name] = min(doublings + 1, _MOST_DOUBLINGS)
        return min(_FIRST_RETRY * 2.0**doublings, _LONGEST_RETRY)

    def _pass(self, name: str) -> float | None:
        begun = time.monotonic()
        again = self._look_after(name)
        now = time.monotonic()
        self._rested[name] = now + min(now - begun, _LONGEST_REST)
        if again is None:
            del self._rested[name]
        return again

    def _look_after(self, name: str) -> float | None:
        seen = self._observer.observe(name)
        seen = dataclasses.replace(
            seen,
            refusals={**seen.refusals, **self._applier.refusals},
            gateway_refusal=self._applier.gateway_refusal(name) or seen.gateway_refusal,
        )
        decision = decide.decide(seen)
        self.standings.keep(name, standings.of(seen, decision))
        if seen.vpn is not None and not seen.vpn.deleting:
            self._errands.start(seen.vpn, seen, decision.errands)
        try:
            self._reporter.report(seen, decision)
        finally:
            # A status that cannot be written keeps nobody's app from being made.
            if seen.vpn is None or not seen.vpn.deleting:
                self._applier.apply(seen, decision)
        for name_ in decision.wakes:
            self.wake(name_)
        users = seen.services or seen.labelled_pods
        gone = seen.vpn is None and seen.invalid is None and not users
        return None if gone else decision.requeue_seconds

    def _housekeeping(self) -> float:
        """Wake every VPN, and remove what no PiaVpn uses any more."""
        for name in self._observer.vpn_names():
            self.wake(name)
        for name in self._unused_accounts():
            subject = logs.about("Secret", name, self._namespace)
            log.info("removing it: no PiaVpn uses this account", extra=subject)
            self._cluster.delete(kube.SECRETS, name, self._namespace)
        for name in self._unused_lists():
            subject = logs.about("ConfigMap", name, self._namespace)
            log.info("removing it: no PiaVpn uses this server list", extra=subject)
            self._cluster.delete(kube.CONFIG_MAPS, name, self._namespace)
            self._observer.forget_list(name)
        self._forget_ports()
        return decide.RESYNC_SECONDS

    def _forget_ports(self) -> None:
        """Remove the forwarded ports that gateways of PiaVpns kept which are gone."""
        secret = self._cluster.get(kube.SECRETS, names.PORTS_SECRET, self._namespace)
        kept = set((secret or {}).get("data") or {})
        if gone := kept - self._observer.vpn_names():
            patch = {"data": dict.fromkeys(sorted(gone))}
            self._cluster.patch(kube.SECRETS, names.PORTS_SECRET, self._namespace, patch)

    def _unused_accounts(self) -> set[str]:
        secrets = self._cluster.list(kube.SECRETS, self._namespace, labels=accounts.LABEL)
        now = datetime.now(UTC)
        found = {s["metadata"]["name"] for s in secrets if not accounts.is_limited(s, now)}
        return found - self._observer.account_names()

    def _unused_lists(self) -> set[str]:
        kept = self._cluster.list(kube.CONFIG_MAPS, self._namespace, labels=keptlists.LABEL)
        found: set[str] = {config_map["metadata"]["name"] for config_map in kept}
        return found - self._observer.list_names()


def _result(error: Exception) -> str:
    """Return what a pass that ended so counts as."""
    if not isinstance(error, kube.KubeError):
        return UNEXPECTED
    return CONFLICT if error.conflict else API_ERROR


def _about(name: str, seconds: float) -> dict[str, Any]:
    if name == HOUSEKEEPING:
        return logs.about("Housekeeping", "all", seconds=seconds)
    return logs.about("PiaVpn", name, seconds=seconds)
