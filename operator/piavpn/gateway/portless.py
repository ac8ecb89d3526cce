"""Servers that do not forward the port that an app wants, and when to leave one for that. Pure.

It is a move without a break, and bounded: each server is left once a day at most, and each move
waits longer than the last one until a port is forwarded again.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

REMEMBERED_SECONDS = 86_400.0
"""For so long no move goes to such a server."""
FIRST_SECONDS, LONGEST_SECONDS = 60.0, 3600.0
"""After the first of some moves in a row, and what the wait doubles up to."""
_MOST_DOUBLINGS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Portless:
    """What is known of them. Times are seconds of the monotonic clock."""

    until: Mapping[ipaddress.IPv4Address, float] = dataclasses.field(default_factory=dict)
    """The servers, and until when that is remembered."""
    moves: int = 0
    """Those in a row after which no port was forwarded yet."""
    next_move: float = 0.0

    def has(self, address: ipaddress.IPv4Address, now: float) -> bool:
        """Tell whether it is one of them."""
        return self.until.get(address, 0.0) > now

    def after(self, address: ipaddress.IPv4Address, *, forwards: bool, now: float) -> Portless:
        """Return it after what became known of a server."""
        if forwards:
            left = {known: until for known, until in self.until.items() if known != address}
            return Portless(left)
        if self.has(address, now):
            return self
        left = {known: until for known, until in self.until.items() if until > now}
        left[address] = now + REMEMBERED_SECONDS
        return dataclasses.replace(self, until=left)

    def moved(self, now: float) -> Portless:
        """Return it after a move for the port's sake."""
        wait = min(FIRST_SECONDS * 2 ** min(self.moves, _MOST_DOUBLINGS), LONGEST_SECONDS)
        return dataclasses.replace(self, moves=self.moves + 1, next_move=now + wait)
