"""When to ask something again that is asked seldom, and how often it came to nothing. Pure."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Rhythm:
    """How often to ask, in seconds."""

    every: float
    """After an answer."""
    again: float
    """After the first miss; it doubles with each one more."""
    longest: float
    """What it doubles up to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Inquiry:
    """What came of asking so far."""

    due: float = 0.0
    """When to ask next, in seconds of the monotonic clock."""
    misses: int = 0
    """Questions without answer since the last one that had one."""

    def after(self, *, answered: bool, rhythm: Rhythm, now: float) -> Inquiry:
        """Return the inquiry after one more question."""
        if answered:
            return Inquiry(now + rhythm.every)
        wait = min(rhythm.again * 2**self.misses, rhythm.longest)
        return Inquiry(now + wait, self.misses + 1)


OUTSIDE = Rhythm(every=60.0, again=5.0, longest=5.0)
"""Does the server forward anything? Its own ping does not tell."""
OUTSIDE_MISSES = 3
"""Questions in a row without answer that mean it does not."""
_MOST_DOUBLINGS = 5


def outside_misses(cut_off: int) -> int:
    """Return how many misses end a session, after so many sessions in a row that ended by them.

    They double: where nothing is forwarded anywhere, as when PIA's resolvers are down, connections
    are better left alone than broken again and again.
    """
    return OUTSIDE_MISSES * int(2 ** min(cut_off, _MOST_DOUBLINGS))


EXIT_ADDRESS = Rhythm(every=3600.0, again=5.0, longest=600.0)
"""Under which address does the Internet see us?"""
EXIT_ADDRESS_MISSES = 3
"""After so many, the server's own address is told: it is what is known."""
