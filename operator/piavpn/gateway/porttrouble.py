"""What went wrong with the forwarded port: when to try again, and when to try elsewhere. Pure."""

from __future__ import annotations

import dataclasses
import random

from piavpn.pia import errors

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0
_MOST_DOUBLINGS = 10
REFUSALS = 4
"""Of the port by one server, the last three with a new signature each, after which it takes another
server."""
TROUBLES, TROUBLE_SECONDS = 5, 300.0
"""Calls in a row that failed in any way, and for how long they must have done so, for the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """Failures in a row of one call, and when it may be made again."""

    failures: int = 0
    at: float = 0.0

    def later(self, clock: float, dice: random.Random) -> Retry:
        """Return it after one more failure: the wait doubles, with jitter."""
        longest = min(FIRST_SECONDS * 2 ** min(self.failures, _MOST_DOUBLINGS), LONGEST_SECONDS)
        return Retry(self.failures + 1, clock + longest * dice.uniform(0.5, 1.0))


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong at one server since it bound a port, or since the session's beginning."""

    failures: int = 0
    refusals: int = 0
    """Those of the port itself."""
    since: float = 0.0
    """Time of the first one."""

    def after(self, error: errors.PiaError, clock: float) -> Trouble:
        """Return it after one more failure; a rejected token is none of the server's."""
        if isinstance(error, errors.TokenRejected):
            return self
        refused = isinstance(error, errors.PortBusy | errors.SignatureRejected)
        since = self.since if self.failures else clock
        return Trouble(self.failures + 1, self.refusals + refused, since)

    def lasts(self, clock: float) -> bool:
        """Tell whether there is little hope for a port at this server."""
        long = self.failures >= TROUBLES and clock - self.since >= TROUBLE_SECONDS
        return long or self.refusals >= REFUSALS
