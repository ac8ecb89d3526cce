from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

from piavpn.pia import latency

NEAR, OTHER = IPv4Address("127.0.0.1"), IPv4Address("127.0.0.2")


def test_a_server_that_connects_has_a_time_and_one_that_refuses_has_none() -> None:
    with socket.create_server((str(NEAR), 0)) as listener:
        port = listener.getsockname()[1]
        found = latency.measure([(NEAR, port), (OTHER, port), (NEAR, port)])

    assert list(found) == [NEAR]
    assert 0 < found[NEAR] < 1


def test_many_silent_servers_cost_little_more_than_one_timeout() -> None:
    with socket.create_server(("0.0.0.0", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with filled(port):
            silent = [(IPv4Address(f"127.0.1.{last}"), port) for last in range(1, latency.WORKERS)]
            started = time.monotonic()

            assert latency.measure(silent, timeout=0.5) == {}

    assert time.monotonic() - started < 3


def test_nothing_to_measure_measures_nothing() -> None:
    assert latency.measure([]) == {}


@contextlib.contextmanager
def filled(port: int) -> Iterator[None]:
    """Fill a listener's queue, so that the kernel drops whatever asks to connect next."""
    with contextlib.ExitStack() as clients:
        with contextlib.suppress(TimeoutError):
            while True:
                clients.enter_context(socket.create_connection((str(NEAR), port), 0.3))
        yield
