"""How far servers are: the time of a TCP connect to the port that is really used."""

from __future__ import annotations

import concurrent.futures
import ipaddress
import socket
import time
from collections.abc import Iterable

DEFAULT_TIMEOUT = 1.5
WORKERS = 32
"""Connects at a time: the whole of PIA's list takes seconds, and no burst of hundreds."""


def measure(
    endpoints: Iterable[tuple[ipaddress.IPv4Address, int]], *, timeout: float = DEFAULT_TIMEOUT
) -> dict[ipaddress.IPv4Address, float]:
    """Return seconds by address; an address that does not connect within `timeout` is absent."""
    wanted = tuple(dict.fromkeys(endpoints))
    with concurrent.futures.ThreadPoolExecutor(WORKERS, "latency") as pool:
        times = pool.map(lambda endpoint: _connect_time(endpoint, timeout), wanted)
        return {
            address: seconds
            for (address, _), seconds in zip(wanted, times, strict=True)
            if seconds is not None
        }


def _connect_time(endpoint: tuple[ipaddress.IPv4Address, int], timeout: float) -> float | None:
    address, port = endpoint
    started = time.monotonic()
    try:
        with socket.create_connection((str(address), port), timeout):
            return time.monotonic() - started
    except OSError:
        return None
