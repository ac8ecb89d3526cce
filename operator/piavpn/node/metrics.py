"""The node agent's metrics, read from the kernel and from the last leak tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pyroute2 import IPRoute, NetlinkError

from piavpn import logs, metrics
from piavpn.api import names
from piavpn.net import netns, nft
from piavpn.node import cutoffs, guard, hostfilter, leaktests, lock, outlet, sandbox
from piavpn.node.model import Role
from piavpn.node.pods import Member
from piavpn.timings import Timings

log = logging.getLogger(__name__)

T = TypeVar("T")

_SERVICE, _GATEWAY = ("namespace", "service"), ("vpn",)
_FILTERS = {
    "bridge": (guard.TABLE,),
    "host": (hostfilter.TABLE,),
    "cluster_link": outlet.TABLES,
}
"""The node's own filters, by what they are around."""


class Metrics:
    """Reads them all. The calling thread is in the node's namespace."""

    def __init__(
        self,
        members: Callable[[], Iterable[Member]],
        tests: leaktests.LeakTests,
        cut_offs: cutoffs.CutOffs,
        attaching: Timings,
    ) -> None:
        self._members = members
        self._leak_tests = tests
        self._cut_offs = cut_offs
        self._attaching = attaching

    def read(self) -> Iterator[Metric]:
        """Return them. What the kernel does not tell, such as of a pod that ends, is left out."""
        members = _one_of_each(self._members())
        services = [member for member in members if member.pod.role is Role.SERVICE]
        gateways = [member for member in members if member.pod.role is Role.GATEWAY]
        yield from _confined(services, gateways)
        yield metrics.histogram(
            "attach_duration_seconds",
            "From when a pod's sandbox was seen until it was attached and locked.",
            ["role"],
            self._attaching,
        )
        yield self._pods_cut_off(services)
        yield from self._tests(services)
        yield from _drops_of_services(services)
        yield from _bytes_of_services(services)
        yield from _drops_of_gateways(gateways)
        yield from _drops_of_the_node()

    def _pods_cut_off(self, services: Iterable[Member]) -> Metric:
        counted = metrics.counter(
            "pods_cut_off",
            "Pods of the app that were cut off, as a packet had got out or they were damaged.",
            (*_SERVICE, "reason"),
        )
        for member in services:
            for why, count in self._cut_offs.of(member.pod.owner).items():
                counted.add_metric([*_labels(member), why], count)
        return counted

    def _tests(self, services: Iterable[Member]) -> Iterator[Metric]:
        runs = metrics.counter("leak_test_runs", "Leak tests of the pod.", (*_SERVICE, "result"))
        passed = metrics.gauge(
            "leak_test_passed", "Whether in the last leak test nothing got out.", _SERVICE
        )
        leaked = metrics.gauge(
            "leak_test_leaks", "Ways by which something got out in the last leak test.", _SERVICE
        )
        at = metrics.gauge(
            "leak_test_timestamp_seconds", "When the last leak test began.", _SERVICE
        )
        filtered = metrics.gauge(
            "leak_test_raw_frames_dropped",
            "Whether the filter on the node's side dropped the last leak test's raw frames.",
            _SERVICE,
        )
        for member in services:
            if member.sandbox is None:
                continue
            labels = _labels(member)
            for result, count in self._leak_tests.tally(member.sandbox).by_result().items():
                runs.add_metric([*labels, result], count)
            verdict = self._leak_tests.verdict(member.sandbox)
            if verdict is None:
                continue
            passed.add_metric(labels, verdict.passed)
            leaked.add_metric(labels, len(verdict.leaks))
            at.add_metric(labels, verdict.at)
            if verdict.raw_stopped is not None:
                filtered.add_metric(labels, verdict.raw_stopped)
        yield from (runs, passed, leaked, at, filtered)


def _one_of_each(members: Iterable[Member]) -> list[Member]:
    """Return one pod of each owner: an attached one where there is one, and the youngest."""
    found: dict[tuple[str, ...], Member] = {}
    for member in members:
        known = found.get(key := (member.pod.role, *_labels(member)))
        if known is None or member.attached or not known.attached:
            found[key] = member
    return list(found.values())


def _labels(member: Member) -> list[str]:
    owner = member.pod.owner
    return [owner.name] if owner.namespace is None else [owner.namespace, owner.name]


def _confined(services: list[Member], gateways: list[Member]) -> Iterator[GaugeMetricFamily]:
    pods = metrics.gauge(
        "confined_pods", "Pods of the node that are attached and locked.", ["role"]
    )
    for role, members in ((Role.SERVICE, services), (Role.GATEWAY, gateways)):
        pods.add_metric([role], sum(member.attached for member in members))
    service = metrics.gauge(
        "pod_confined", "Whether the app's pod is attached and locked.", _SERVICE
    )
    for member in services:
        service.add_metric(_labels(member), member.attached)
    gateway = metrics.gauge(
        "gateway_confined", "Whether the gateway's pod is attached and locked.", _GATEWAY
    )
    for member in gateways:
        gateway.add_metric(_labels(member), member.attached)
    yield from (pods, service, gateway)


def _drops_of_services(services: Iterable[Member]) -> Iterator[Metric]:
    dropped = metrics.Drops("dropped", "of the app that its lock has dropped", _SERVICE)
    probes = metrics.Drops(
        "probe", "of gate and leak test that the app's lock has dropped", _SERVICE
    )
    for member in services:
        counters = _inside(member, lambda: nft.counters(lock.TABLE)) or {}
        dropped.add(_labels(member), counters, lock.DROPPED)
        probes.add(_labels(member), counters, lock.PROBES)
    yield from (*dropped.families, *probes.families)


def _bytes_of_services(services: Iterable[Member]) -> Iterator[Metric]:
    received = metrics.counter(
        "service_receive_bytes", "Bytes that came to the app by the bridge.", _SERVICE
    )
    sent = metrics.counter("service_transmit_bytes", "Bytes that the app sent by it.", _SERVICE)
    for member in services:
        counts = _inside(member, lambda: _bytes_of(names.POD_LINK)) or {}
        for came, went in counts.values():
            received.add_metric(_labels(member), came)
            sent.add_metric(_labels(member), went)
    yield from (received, sent)


def _drops_of_gateways(gateways: Iterable[Member]) -> Iterator[Metric]:
    dropped = metrics.Drops("gateway_dropped", "that the gateway's lock has dropped", _GATEWAY)
    links = (
        metrics.counter(
            "tunnel_receive_bytes", "Bytes received through the tunnel.", (*_GATEWAY, "link")
        ),
        metrics.counter(
            "tunnel_transmit_bytes", "Bytes sent through the tunnel.", (*_GATEWAY, "link")
        ),
    )
    for member in gateways:
        counters = _inside(member, lambda: nft.counters(lock.TABLE)) or {}
        dropped.add(_labels(member), counters, lock.DROPPED)
        for link, counts in (_inside(member, lambda: _bytes_of(*names.TUNNEL_LINKS)) or {}).items():
            for family, count in zip(links, counts, strict=True):
                family.add_metric([*_labels(member), link], count)
    yield from (*dropped.families, *links)


def _drops_of_the_node() -> Iterator[CounterMetricFamily]:
    dropped = metrics.Drops("node_dropped", "that a filter of the node has dropped", ("filter",))
    try:
        found = nft.all_counters([table for tables in _FILTERS.values() for table in tables])
    except nft.NftError as error:
        log.warning("the node's counters cannot be read: %s", error)
        return
    for name, tables in _FILTERS.items():
        for table in tables:
            dropped.add([name], found.get(table, {}), lock.DROPPED)
    yield from dropped.families


def _bytes_of(*links: str) -> dict[str, tuple[int, int]]:
    """Return bytes received and sent by those of the links that our namespace has."""
    with IPRoute() as kernel:
        stats = {
            link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_STATS64")
            for link in kernel.get_links()
        }
    return {
        name: (stats[name]["rx_bytes"], stats[name]["tx_bytes"]) for name in links if name in stats
    }


def _inside(member: Member, read: Callable[[], T]) -> T | None:
    """Read in the pod's namespace; None where there is none, or nothing to read in it."""
    if member.sandbox is None or not member.attached:
        return None
    try:
        with sandbox.pinned(member.sandbox) as fd, netns.entered(fd):
            return read()
    except sandbox.SandboxGoneError:
        return None
    except (nft.NftError, NetlinkError, OSError) as error:
        subject = logs.about("Pod", member.pod.name, member.pod.namespace)
        log.warning("its counters cannot be read: %s", error, extra=subject)
        return None
