"""What an app gets through the tunnel, next to its gateway and to what users would have instead.

Each round takes every load on every path, in an order that goes on from round to round: the
machine's speed drifts, and the samples of a round are neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench import comparison, loads, othernode, results, rivals
from fakepia import client
from harness import manifests, probes

T = TypeVar("T")

_ROUNDS = 5
_STREAMS = (1, 8)
_PACED_MEGABITS = 50
_LEAST_OF_RATE = {comparison.GATEWAY: 0.95, comparison.SIDECAR: 0.9, comparison.VXLAN: 1.0}
_MOST_OF_COST_BY_VXLAN = 1.0
_BY_STREAMS = f"by {' / '.join(map(str, _STREAMS))} streams"
_OF_THE_GATEWAYS = "throughput of an app, of what its gateway gets itself: " + ", ".join(
    f"{direction} {_BY_STREAMS}" for direction in loads.Direction
)


def measure(
    tunnel: probes.Tunnel, others: rivals.Rivals, pia: client.Client
) -> list[results.Measurement]:
    """Measure TCP, datagrams and echoes on all paths.

    Raises:
        AssertionError: a path does not lead through the tunnel's server.
    """
    with othernode.running(tunnel) as elsewhere:
        return _measure(tunnel, _paths(tunnel, elsewhere, others), pia)


def _measure(
    tunnel: probes.Tunnel, paths: Sequence[loads.Path], pia: client.Client
) -> list[results.Measurement]:
    _check(paths, tunnel.server_address)
    measurements = [
        *_tcp(paths),
        *_datagrams(paths, pia, tunnel.status()["session"]["server"]),
        *_echoes(paths),
    ]
    _check(paths, tunnel.server_address)
    return measurements


def _paths(tunnel: probes.Tunnel, elsewhere: probes.Pod, others: rivals.Rivals) -> list[loads.Path]:
    link = tunnel.status()["session"]["link"]
    node = tunnel.gateway.node
    return [
        loads.Path(comparison.APP, tunnel.app, node, manifests.USERNAME),
        loads.Path(comparison.ELSEWHERE, elsewhere, node, manifests.USERNAME),
        loads.Path(comparison.GATEWAY, tunnel.gateway, node, manifests.USERNAME, link),
        loads.Path(comparison.SIDECAR, others.sidecar, node, rivals.SIDECAR.username),
        loads.Path(comparison.VXLAN, others.vxlan, node, rivals.VXLAN.username),
    ]


def _check(paths: Sequence[loads.Path], server: str) -> None:
    for path in paths:
        seen = path.pod.udp(device=path.device)
        assert seen == server, f"{path.name}: the Internet sees {seen}, not {server}"


def _tcp(paths: Sequence[loads.Path]) -> list[results.Measurement]:
    return [
        measurement
        for direction in loads.Direction
        for streams in _STREAMS
        for measurement in _transfers(paths, direction, streams)
    ]


def _transfers(
    paths: Sequence[loads.Path], direction: loads.Direction, streams: int
) -> list[results.Measurement]:
    moved = _rounds(paths, lambda path: loads.transfer(path, direction, streams))
    what = f"{direction}, {streams} TCP stream{'s' if streams > 1 else ''}"
    rates = comparison.quantity(
        what,
        "Mbit/s",
        moved,
        lambda one: one.megabits_per_second,
        more_is_better=True,
        row=f"{direction} {_BY_STREAMS}",
    )
    costs = comparison.quantity(
        f"{what}: all processors",
        "s/Gbit",
        moved,
        lambda one: one.machine_cost,
        row=f"all processors, {direction} {_BY_STREAMS}",
    )
    measurements = [*rates.measurements(), *costs.measurements()]
    if any(one.wireguard_seconds for samples in moved.values() for one in samples):
        wireguard = comparison.quantity(
            f"{what}: wireguard-go of the client",
            "s/Gbit",
            moved,
            lambda one: one.wireguard_cost,
            row=f"wireguard-go of the client, {direction} {_BY_STREAMS}",
        )
        measurements += wireguard.measurements()
    measurements += [
        rates.ratio(other, bar, row=_OF_THE_GATEWAYS if other == comparison.GATEWAY else "")
        for other, bar in _LEAST_OF_RATE.items()
    ]
    measurements.append(rates.ratio(comparison.APP, of=comparison.ELSEWHERE))
    return [*measurements, costs.ratio(comparison.VXLAN, _MOST_OF_COST_BY_VXLAN)]


def _datagrams(
    paths: Sequence[loads.Path], pia: client.Client, server: str
) -> list[results.Measurement]:
    flood = _rounds(paths, lambda path: loads.datagrams(path, pia, server, megabits=None))
    paced = _rounds(
        paths, lambda path: loads.datagrams(path, pia, server, megabits=_PACED_MEGABITS)
    )
    rates = comparison.quantity(
        "UDP, as much as goes: arrived",
        "Mbit/s",
        flood,
        lambda one: one.megabits_per_second,
        more_is_better=True,
    )
    losses = comparison.quantity(
        f"UDP, {_PACED_MEGABITS} Mbit/s: lost", "%", paced, lambda one: one.lost_percent
    )
    return [*rates.measurements(), *losses.measurements()]


def _echoes(paths: Sequence[loads.Path]) -> list[results.Measurement]:
    taken = _rounds(paths, loads.echoes)
    middle = comparison.quantity("UDP echo: p50", "ms", taken, lambda one: one.p50)
    slow = comparison.quantity("UDP echo: p95", "ms", taken, lambda one: one.p95)
    return [*middle.measurements(), *slow.measurements()]


def _rounds(paths: Sequence[loads.Path], sample: Callable[[loads.Path], T]) -> dict[str, list[T]]:
    """Return a sample of each path from each round; each path is first in turn."""
    samples: dict[str, list[T]] = {path.name: [] for path in paths}
    for number in range(_ROUNDS):
        first = number % len(paths)
        for path in (*paths[first:], *paths[:first]):
            samples[path.name].append(sample(path))
    return samples
