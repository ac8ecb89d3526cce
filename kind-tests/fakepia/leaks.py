"""The leak detector: what reached the Internet by another way than a tunnel.

The kernel counts each packet as it enters the router, so that a report is complete when it is
asked for: a packet that arrived before is in it.
"""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fakepia import namespaces, rules

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
"""nft gives numbers where there is no /etc/protocols."""

_MAXIMUM_MARKERS = 10_000


@dataclass(frozen=True, slots=True)
class Flow:
    """Who sent to whom; ports are None where the protocol has none (ICMP) and for IPv6."""

    source: str
    destination: str
    protocol: str
    source_port: int | None
    destination_port: int | None


@dataclass(frozen=True, slots=True)
class Leak:
    """The packets of one flow. `first_seen` is good to a second."""

    flow: Flow
    packets: int
    first_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class Report:
    """All leaks, and all leaked packets: also those of flows beyond what is remembered."""

    packets: int
    leaks: tuple[Leak, ...]

    def since(self, before: "Report") -> "Report":
        """Give what was added after `before`."""
        counted = {leak.flow: leak.packets for leak in before.leaks}
        more = [
            replace(leak, packets=leak.packets - counted.get(leak.flow, 0)) for leak in self.leaks
        ]
        return Report(self.packets - before.packets, tuple(one for one in more if one.packets > 0))


NOTHING = Report(0, ())


class Detector:
    """Reads the router's counts."""

    def __init__(self, router: namespaces.Namespace) -> None:
        self._router = router
        self._lock = threading.Lock()
        self._markers: list[Report] = []

    def report(self) -> Report:
        """Give all leaks since the start or the last reset."""
        listing = self._router.run("nft", "-j", "list", "table", "inet", "fakepia")
        return parse(json.loads(listing), dt.datetime.now(dt.UTC))

    def mark(self) -> int:
        """Remember this moment and give its number, for `since`."""
        report = self.report()
        with self._lock:
            if len(self._markers) == _MAXIMUM_MARKERS:
                raise ValueError("there are too many markers; reset the leaks")
            self._markers.append(report)
            return len(self._markers)

    def since(self, marker: int) -> Report:
        """Give the leaks after the moment numbered `marker`.

        Raises:
            ValueError: there is no such marker; a reset takes all of them away.
        """
        with self._lock:
            if not 1 <= marker <= len(self._markers):
                raise ValueError(f"there is no marker {marker}")
            before = self._markers[marker - 1]
        return self.report().since(before)

    def reset(self) -> None:
        """Forget all leaks and markers."""
        with self._lock:
            self._router.run("nft", "-f", "-", stdin=rules.forget_leaks())
            self._markers = []


def parse(listing: dict[str, Any], now: dt.datetime) -> Report:
    """Read the JSON listing of the router's table."""
    objects = listing["nftables"]
    packets = sum(one["counter"]["packets"] for one in objects if "counter" in one)
    elements = [
        element["elem"]
        for one in objects
        if one.get("set", {}).get("name", "").startswith("leaks")
        for element in one["set"].get("elem", [])
    ]
    return Report(packets, tuple(_leaks(elements, now)))


def _leaks(elements: list[dict[str, Any]], now: dt.datetime) -> Iterator[Leak]:
    for element in elements:
        source, destination, protocol, *ports = element["val"]["concat"]
        source_port, destination_port = ports or (None, None)
        age = dt.timedelta(seconds=rules.MEMORY_SECONDS - element["expires"])
        yield Leak(
            Flow(
                source,
                destination,
                str(_PROTOCOLS.get(protocol, protocol)),
                source_port,
                destination_port,
            ),
            element["counter"]["packets"],
            now - age,
        )
