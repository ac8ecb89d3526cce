"""What an app gets through the tunnel, of what its gateway itself gets through it."""

from __future__ import annotations

from collections.abc import Callable

from bench import results
from harness import probes

_ROUNDS = 12
_SECONDS = 1.0

_CONNECT = """
import socket, time
s = socket.socket()
s.settimeout(10)
if {device!r}: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, {device!r}.encode())
s.connect(({host!r}, {port}))
began = time.perf_counter()
"""
# The stand-in's discard service tells at the end how much arrived.
_UPLOAD = """
block = bytes(1 << 17)
while time.perf_counter() - began < {seconds}: s.sendall(block)
s.shutdown(socket.SHUT_WR)
moved = int(s.makefile().readline())
print(moved / (time.perf_counter() - began))
"""
_DOWNLOAD = """
moved, block = 0, bytearray(1 << 17)
while time.perf_counter() - began < {seconds}: moved += s.recv_into(block)
print(moved / (time.perf_counter() - began))
"""
_DIRECTIONS = {"upload": (9, _UPLOAD), "download": (19, _DOWNLOAD)}


def measure(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Measure both directions."""
    link = tunnel.status()["session"]["link"]
    return [one for direction in _DIRECTIONS for one in _compare(tunnel, link, direction)]


def _compare(tunnel: probes.Tunnel, link: str, direction: str) -> list[results.Measurement]:
    app, gateway = _alternate(
        lambda: _megabits(tunnel.app, "", direction),
        lambda: _megabits(tunnel.gateway, link, direction),
    )
    ratios = tuple(one / other for one, other in zip(app, gateway, strict=True))
    bar = results.Bar(0.95, results.Statistic.MEDIAN)
    return [
        results.Measurement(f"{direction}, app", "Mbit/s", app, more_is_better=True),
        results.Measurement(f"{direction}, gateway itself", "Mbit/s", gateway, more_is_better=True),
        results.Measurement(f"{direction}, app / gateway", "", ratios, bar, more_is_better=True),
    ]


def _alternate(
    one: Callable[[], float], other: Callable[[], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Take samples of both, each first in every second round: a machine's speed drifts."""
    samples: dict[Callable[[], float], list[float]] = {one: [], other: []}
    for number in range(_ROUNDS):
        for sample in (one, other) if number % 2 == 0 else (other, one):
            samples[sample].append(sample())
    return tuple(samples[one]), tuple(samples[other])


def _megabits(pod: probes.Pod, device: str, direction: str) -> float:
    port, code = _DIRECTIONS[direction]
    values = {"device": device, "host": probes.WHO_AM_I, "port": port, "seconds": _SECONDS}
    return float(pod.python((_CONNECT + code).format(**values))) * 8 / 1e6
