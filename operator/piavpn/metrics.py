"""Metrics: how all programs name them, and how they are served.

Names begin with `piavpn_`, are in base units, and end with `_total` where they only grow. Labels
name objects that are there, and words of fixed sets. Every value is read when it is asked for, so
that nothing is told of what is gone.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from piavpn import health
from piavpn.net.nft import Counter
from piavpn.timings import Timings

PREFIX = "piavpn_"
_FRESH_SECONDS = 2.0
"""Whoever reaches the port may ask as often as they like: reading costs no more than this often."""

Read = Callable[[], Iterable[Metric]]


def gauge(name: str, documentation: str, labels: Sequence[str]) -> GaugeMetricFamily:
    """Return a metric without values yet, for what may also shrink; without prefix in `name`."""
    return GaugeMetricFamily(PREFIX + name, documentation, labels=labels)


def counter(name: str, documentation: str, labels: Sequence[str]) -> CounterMetricFamily:
    """Return a metric without values yet, for what only grows; without `_total` in `name`."""
    return CounterMetricFamily(PREFIX + name, documentation, labels=labels)


def histogram(
    name: str, documentation: str, labels: Sequence[str], timings: Timings
) -> HistogramMetricFamily:
    """Return a metric of durations with all that was counted; without prefix in `name`."""
    family = HistogramMetricFamily(PREFIX + name, documentation, labels=labels)
    bounds = [*map(str, timings.bounds), "+Inf"]
    for values, timing in timings.read().items():
        reached = itertools.accumulate(timing.counts)
        family.add_metric(values, list(zip(bounds, reached, strict=True)), timing.total)
    return family


class Drops:
    """Counters of packets and bytes, by the reason for which they were dropped."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...]) -> None:
        self.families = tuple(
            counter(f"{name}_{unit}", f"{unit.capitalize()} {what}.", (*labels, "reason"))
            for unit in ("packets", "bytes")
        )

    def add(self, labels: list[str], counters: Mapping[str, Counter], prefix: str) -> None:
        """Add those counters whose names begin with `prefix`."""
        packets, size = self.families
        for name, counted in counters.items():
            if name.startswith(prefix):
                packets.add_metric([*labels, name.removeprefix(prefix)], counted.packets)
                size.add_metric([*labels, name.removeprefix(prefix)], counted.bytes)


def serve(host: str, port: int, read: Read) -> health.Server:
    """Answer `/metrics`, and all other paths, in a thread of its own until `shutdown()`.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one, see the server's `server_port`.
        read: returns all metrics but those of the process itself.

    Raises:
        OSError: the address cannot be listened on.
    """
    handler = type("Handler", (MetricsHandler.factory(_registry(read)),), {"timeout": 5})
    server = health.Server((host, port), handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def page(read: Read) -> health.Page:
    """Return the same, to be served by the server of the kubelet's probes."""
    registry = _registry(read)
    return lambda: (CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))


def _registry(read: Read) -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Fresh(read))
    return registry


class _Fresh(Collector):
    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: list[Metric] = []
        self._until = 0.0

    def describe(self) -> Iterable[Metric]:
        """Say nothing: it would be read now."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return what was read a moment ago, or read it."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = list(self._read())
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._known
