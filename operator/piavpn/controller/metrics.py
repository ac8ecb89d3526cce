"""The operator's metrics, read from its queue and from what its passes and calls left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric

from piavpn import metrics
from piavpn.controller import queue, reconciler, standings
from piavpn.pia import calls, errors
from piavpn.timings import SUCCESS, Timings

_LOGIN_RESULTS = (
    SUCCESS,
    *(
        error.reason
        for error in (
            errors.BadCredentials,
            errors.RateLimited,
            errors.SubscriptionExpired,
            errors.Unreachable,
            errors.BadCertificate,
            errors.BadResponse,
        )
    ),
)


class Metrics:
    """Reads them all; from any thread."""

    def __init__(self, due: queue.DueQueue, loop: reconciler.Reconciler) -> None:
        self._queue = due
        self._loop = loop

    def read(self) -> Iterator[Metric]:
        """Return them. Of a PiaVpn or an app that is gone nothing is told."""
        yield from _calls()
        yield from _passes(self._loop.durations)
        length = metrics.gauge(
            "reconcile_queue_length", "PiaVpns that are due for a pass and wait for it.", []
        )
        length.add_metric([], self._queue.overdue())
        yield length
        yield from _stand(self._loop.standings.read())


def _calls() -> Iterable[Metric]:
    logins = metrics.counter("logins", "Logins to PIA.", ["result"])
    made = {
        result: timing.count
        for (call, result), timing in calls.MADE.read().items()
        if call == "login"
    }
    for result, count in (dict.fromkeys(_LOGIN_RESULTS, 0) | made).items():
        logins.add_metric([result], count)
    durations = metrics.histogram(
        "pia_request_duration_seconds",
        "How long calls to PIA took.",
        ["call", "result"],
        calls.MADE,
    )
    return logins, durations


def _passes(timings: Timings) -> Iterable[Metric]:
    passes = metrics.counter("reconcile", "Passes over a PiaVpn, and housekeeping.", ["result"])
    zeros = dict.fromkeys(reconciler.RESULTS, 0)
    made = {result: timing.count for (result,), timing in timings.read().items()}
    for result, count in (zeros | made).items():
        passes.add_metric([result], count)
    durations = metrics.histogram(
        "reconcile_duration_seconds", "How long passes took.", ["result"], timings
    )
    return passes, durations


def _stand(known: Mapping[str, standings.Standing]) -> Iterable[Metric]:
    vpns = metrics.gauge("vpn_ready", "Whether the PiaVpn is Ready.", ["vpn"])
    accounts = metrics.gauge(
        "vpn_authenticated", "Whether PIA took the PiaVpn's user name.", ["vpn", "reason"]
    )
    services = metrics.gauge(
        "service_ready",
        "Whether the VpnServiceContainer is Ready.",
        ["namespace", "service", "vpn"],
    )
    lists = metrics.gauge(
        "server_list_timestamp_seconds", "When the PiaVpn's server list was fetched.", ["vpn"]
    )
    for vpn, standing in known.items():
        if standing.ready is not None:
            vpns.add_metric([vpn], standing.ready)
        if (account := standing.authenticated) is not None:
            accounts.add_metric([vpn, account.reason], account.holds)
        if standing.list_time is not None:
            lists.add_metric([vpn], standing.list_time.timestamp())
        for (namespace, name), ready in standing.services.items():
            services.add_metric([namespace, name, vpn], ready)
    silent = metrics.gauge(
        "node_agent_silent", "Nodes with pods of ours whose node agent is silent.", ["node"]
    )
    for node in sorted(set().union(*(standing.silent_agents for standing in known.values()))):
        silent.add_metric([node], 1)
    return vpns, accounts, services, lists, silent
