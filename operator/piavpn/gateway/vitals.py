"""Whether the tunnel lives, judged by pings through it and by the bytes that come out of it. Pure.

Neither alone will do: under a flood pings are lost while the tunnel works, and an idle tunnel
receives nothing without being dead. The age of the last handshake says nothing before 180 s.
"""

from __future__ import annotations

import dataclasses

MISSES = 5
"""Pings in a row without answer, with not a byte received since the first, that mean death."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vitals:
    """What was seen since the last sign of life."""

    received: int
    """Bytes that the link had received by then."""
    misses: int = 0

    @property
    def dead(self) -> bool:
        """Tell whether the tunnel is to be given up."""
        return self.misses >= MISSES

    def after(self, *, answered: bool, received: int | None) -> Vitals:
        """Return the vitals after one more ping.

        Args:
            answered: whether the ping came back.
            received: the link's counter now; None where the link does not tell.
        """
        now = self.received if received is None else received
        if answered or now != self.received:
            return Vitals(now)
        return Vitals(now, self.misses + 1)
