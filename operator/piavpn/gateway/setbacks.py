"""Which server to try next, and when: servers that failed wait, the others go first. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from collections.abc import Iterable, Mapping

from piavpn.api.gateway_config import Server

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
_MOST_DOUBLINGS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Setback:
    """A server's failures in a row, and when it may be tried again."""

    failures: int
    until: float
    """Seconds of the monotonic clock."""


Setbacks = Mapping[ipaddress.IPv4Address, Setback]
_NONE = Setback(failures=0, until=0.0)


def choose(servers: Iterable[Server], setbacks: Setbacks, now: float) -> Server | None:
    """Return the server to try now; None when each must wait.

    Fewest failures first: a server that fails fast never keeps one that was not tried from its
    turn. Among equals, the given order.
    """
    free = [server for server in servers if _setback(server, setbacks).until <= now]
    return min(free, key=lambda server: _setback(server, setbacks).failures, default=None)


def failed(
    setbacks: Setbacks, address: ipaddress.IPv4Address, now: float, dice: random.Random
) -> dict[ipaddress.IPv4Address, Setback]:
    """Return the setbacks with one more of this server's: its wait doubles, with jitter."""
    failures = setbacks.get(address, _NONE).failures + 1
    longest = min(FIRST_SECONDS * 2 ** min(failures - 1, _MOST_DOUBLINGS), LONGEST_SECONDS)
    until = now + longest * dice.uniform(0.5, 1.0)
    return {**setbacks, address: Setback(failures, until)}


def forgiven(
    setbacks: Setbacks, address: ipaddress.IPv4Address
) -> dict[ipaddress.IPv4Address, Setback]:
    """Return the setbacks without this server's."""
    return {known: setback for known, setback in setbacks.items() if known != address}


def _setback(server: Server, setbacks: Setbacks) -> Setback:
    return setbacks.get(server.address, _NONE)
