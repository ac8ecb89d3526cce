from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from piavpn import metrics


@contextlib.contextmanager
def served(read: metrics.Read) -> Iterator[str]:
    server = metrics.serve("127.0.0.1", 0, read)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def scrape(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_what_is_read_is_served_under_our_prefix_besides_the_process_s_own() -> None:
    def read() -> Iterable[Metric]:
        found = metrics.counter("dropped_packets", "Packets dropped.", ["reason"])
        found.add_metric(["dns"], 3)
        yield found
        pods = metrics.gauge("confined_pods", "Pods.", [])
        pods.add_metric([], 2)
        yield pods

    with served(read) as url:
        lines = scrape(url)
    assert [line for line in lines if line.startswith("piavpn_")] == [
        'piavpn_dropped_packets_total{reason="dns"} 3.0',
        "piavpn_confined_pods 2.0",
    ]
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_whoever_asks_again_and_again_makes_no_work() -> None:
    reads = []

    def read() -> Iterable[Metric]:
        reads.append(1)
        return ()

    with served(read) as url:
        # Nothing is read before somebody asks.
        assert reads == []
        for _ in range(5):
            scrape(url)
    assert len(reads) == 1
