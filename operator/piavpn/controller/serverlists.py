"""The newest verified server list of each endpoint, in memory, with its measured latencies.

A failed fetch keeps the last good list, also that of before a restart. The gateways keep the
servers that they were told until a list is there.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from piavpn import keptlists, logs
from piavpn.api import piavpns
from piavpn.controller import model
from piavpn.pia import errors, latency, locations, serverlist

log = logging.getLogger(__name__)

_REFRESH = timedelta(hours=1)
_RETRY, _MOST_DOUBLINGS = timedelta(seconds=15), 4
"""How soon a failed fetch is made again, and how often in a row that time is doubled."""
_MEASURE_AGAIN = timedelta(minutes=1)
"""After a measurement that nothing answered: the network was away, not all of PIA."""


class ServerLists:
    """What PIA said of its servers. Methods may be called from any thread."""

    def __init__(self, kept: keptlists.KeptLists) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._states: dict[piavpns.Endpoints, model.ServerListState] = {}

    def state(self, endpoints: piavpns.Endpoints) -> model.ServerListState:
        """Return what is known now."""
        with self._lock:
            return self._states.get(endpoints, model.ServerListState())

    def refresh(self, endpoints: piavpns.Endpoints, *, measure: bool) -> None:
        """Fetch and verify the list and, if asked, measure its servers; keep what came of it."""
        now = datetime.now(UTC)
        state = self.state(endpoints)
        try:
            raw = serverlist.fetch(endpoints.server_list_url, ca_bundle=endpoints.public_ca_bundle)
            servers = serverlist.parse(raw, endpoints.server_list_public_key)
        except errors.PiaError as error:
            log.warning("server list: %s", error.message, extra=logs.why(error.reason))
            self._keep(endpoints, self._failed(endpoints, state, error))
            return
        self._kept.keep(endpoints, raw, now)
        # Each list has other servers: what was measured of the last one says nothing of them.
        measure = measure or state.latencies is not None
        latencies = _measured(servers) if measure else None
        self._keep(
            endpoints,
            model.ServerListState(
                servers=servers,
                list_time=now,
                latencies=latencies,
                refresh_time=_refresh_time(now, latencies),
            ),
        )

    def measure(self, endpoints: piavpns.Endpoints) -> None:
        """Measure the servers of the list that is there."""
        state = self.state(endpoints)
        if state.servers is not None:
            latencies = _measured(state.servers)
            refresh_time = state.refresh_time
            if state.failure is None:  # else the list is to be fetched again soon
                refresh_time = _refresh_time(datetime.now(UTC), latencies)
            self._keep(
                endpoints,
                dataclasses.replace(state, latencies=latencies, refresh_time=refresh_time),
            )

    def forget(self, kept_name: str) -> None:
        """Know nothing more of the list that is kept in this ConfigMap: it is fetched anew."""
        with self._lock:
            self._states = {
                endpoints: state
                for endpoints, state in self._states.items()
                if keptlists.name(endpoints) != kept_name
            }

    def _failed(
        self, endpoints: piavpns.Endpoints, state: model.ServerListState, error: errors.PiaError
    ) -> model.ServerListState:
        """Return the state with the failure; without a list it is that of before the restart."""
        delay = _RETRY * 2 ** min(state.failures, _MOST_DOUBLINGS)
        delay *= random.uniform(1, 1.5)  # noqa: S311 - spreads retries
        failure = model.Failure(error.reason, error.message, datetime.now(UTC) + delay)
        state = dataclasses.replace(state, failure=failure, failures=state.failures + 1)
        kept = self._kept.load(endpoints) if state.servers is None else None
        if kept is None:
            return state
        log.info("server list: going on with that of %s", kept.time)
        return dataclasses.replace(state, servers=kept.servers, list_time=kept.time)

    def _keep(self, endpoints: piavpns.Endpoints, state: model.ServerListState) -> None:
        with self._lock:
            self._states[endpoints] = state


def _refresh_time(
    now: datetime, latencies: Mapping[ipaddress.IPv4Address, float] | None
) -> datetime:
    nothing_answered = latencies is not None and not latencies
    return now + (_MEASURE_AGAIN if nothing_answered else _REFRESH)


def _measured(servers: serverlist.ServerList) -> dict[ipaddress.IPv4Address, float]:
    return latency.measure((address, servers.port) for address in locations.measurable(servers))
