"""What every process tells of its requests to the Kubernetes API."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from piavpn import metrics
from piavpn.kube import requests


def with_requests(read: metrics.Read) -> metrics.Read:
    """Return the same metrics and those of this process's requests."""

    def both() -> Iterable[Metric]:
        yield from read()
        made = metrics.counter(
            "kube_requests", "Requests to the Kubernetes API.", ["verb", "resource", "code"]
        )
        for labels, count in requests.MADE.read().items():
            made.add_metric(labels, count)
        yield made

    return both
