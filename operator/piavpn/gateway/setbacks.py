"""Which server to try next, and when: servers that failed wait, the others go first. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from collections.abc import Iterable, Mapping

from piavpn.api.gateway_config import Server

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
_MOST_DOUBLINGS = 10
FORGOTTEN_SECONDS = 30 * 86_400.0
"""After a setback's end. PIA's list names other servers each hour; and a way back from a fallback
location, which tries one server at a time, may take weeks to try the next one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Setback:
    """Failures in a row, and when the next try may be."""

    failures: int = 0
    until: float = 0.0
    """Seconds of the monotonic clock."""

    def again(
        self,
        now: float,
        dice: random.Random,
        *,
        first: float = FIRST_SECONDS,
        longest: float = LONGEST_SECONDS,
    ) -> Setback:
        """Return the setback after one more failure: its wait doubles, with jitter."""
        wait = min(first * 2 ** min(self.failures, _MOST_DOUBLINGS), longest)
        return Setback(self.failures + 1, now + wait * dice.uniform(0.5, 1.0))


Setbacks = Mapping[ipaddress.IPv4Address, Setback]
_NONE = Setback()


def choose(servers: Iterable[Server], setbacks: Setbacks, now: float) -> Server | None:
    """Return the server to try now; None when each must wait.

    Fewest failures first: a server that fails fast never keeps one that was not tried from its
    turn. Among equals, the given order.
    """
    counting = _counting(setbacks, now)
    free = [server for server in servers if _setback(server, counting).until <= now]
    return min(free, key=lambda server: _setback(server, counting).failures, default=None)


def failed(
    setbacks: Setbacks, address: ipaddress.IPv4Address, now: float, dice: random.Random
) -> dict[ipaddress.IPv4Address, Setback]:
    """Return the setbacks with one more of this server's, and without those that are long over."""
    counting = _counting(setbacks, now)
    return {**counting, address: counting.get(address, _NONE).again(now, dice)}


def forgiven(
    setbacks: Setbacks, address: ipaddress.IPv4Address
) -> dict[ipaddress.IPv4Address, Setback]:
    """Return the setbacks without this server's."""
    return {known: setback for known, setback in setbacks.items() if known != address}


def of_all(setbacks: Setbacks, calm: Setbacks, address: ipaddress.IPv4Address) -> Setbacks:
    """Return the setbacks after a time without tunnel that this server's ended.

    Where that server itself had failed in that time, the fault was no server's own, as when the
    node is cut off: no server is tried later for it.

    Args:
        setbacks: the present ones.
        calm: those of before that time.
        address: the server that works now.
    """
    failures = setbacks.get(address, _NONE).failures
    return calm if failures > calm.get(address, _NONE).failures else setbacks


def waiting(
    setbacks: Setbacks, address: ipaddress.IPv4Address, until: float
) -> dict[ipaddress.IPv4Address, Setback]:
    """Return the setbacks with this server waiting until then at least."""
    known = setbacks.get(address, _NONE)
    return {**setbacks, address: dataclasses.replace(known, until=max(known.until, until))}


def _counting(setbacks: Setbacks, now: float) -> Setbacks:
    oldest = now - FORGOTTEN_SECONDS
    return {known: setback for known, setback in setbacks.items() if setback.until >= oldest}


def _setback(server: Server, setbacks: Setbacks) -> Setback:
    return setbacks.get(server.address, _NONE)
