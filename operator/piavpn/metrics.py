"""Metrics: how all programs name them, and how they are served.

Names begin with `piavpn_`, are in base units, and end with `_total` where they only grow. Labels
name objects that are there, and words of fixed sets. Every value is read when it is asked for, so
that nothing is told of what is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from piavpn import health

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


def serve(host: str, port: int, read: Read) -> health.Server:
    """Answer `/metrics`, and all other paths, in a thread of its own until `shutdown()`.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one, see the server's `server_port`.
        read: returns all metrics but those of the process itself.

    Raises:
        OSError: the address cannot be listened on.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Fresh(read))
    handler = type("Handler", (MetricsHandler.factory(registry),), {"timeout": 5})
    server = health.Server((host, port), handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


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
