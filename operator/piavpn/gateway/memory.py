"""What the gateway remembers between its steps, and how each outcome changes that. Pure.

Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import dataclasses
import random

from piavpn.api.gateway_config import Server
from piavpn.gateway import setbacks
from piavpn.gateway.session import Session
from piavpn.gateway.vitals import Vitals

TOKEN_RETRY_SECONDS = 300.0
"""After which a rejected token is tried again: a new login may have given the same one."""
SETTLED_SECONDS = 60.0
"""A session that lived this long clears its server's earlier failures."""


_UNWATCHED = Vitals(received=0)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt came to nothing: a condition's reason and message."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """A token that a server did not take."""

    token: str = dataclasses.field(repr=False)
    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What earlier steps left."""

    kept: Session | None = None
    """The session of an earlier process, until it was looked at."""
    session: Session | None = None
    since: float = 0.0
    """When the session was proven."""
    vitals: Vitals = _UNWATCHED
    setbacks: setbacks.Setbacks = dataclasses.field(default_factory=dict)
    rejection: Rejection | None = None
    failure: Failure | None = None
    """The last attempt's, until one succeeds."""

    def proven(self, session: Session, *, received: int, now: float) -> Memory:
        """Return the memory with this session, whose tunnel answered."""
        return dataclasses.replace(
            self,
            kept=None,
            session=session,
            since=now,
            vitals=Vitals(received),
            rejection=None,
            failure=None,
        )

    def not_adopted(self) -> Memory:
        """Return the memory without the earlier process's session."""
        return dataclasses.replace(self, kept=None)

    def watched(self, *, answered: bool, received: int | None) -> Memory:
        """Return the memory after one more ping."""
        vitals = self.vitals.after(answered=answered, received=received)
        return dataclasses.replace(self, vitals=vitals)

    def failed(self, server: Server, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after an attempt at this server came to nothing."""
        waits = setbacks.failed(self.setbacks, server.address, now, dice)
        return dataclasses.replace(self, setbacks=waits, failure=failure)

    def rejected(self, token: str, failure: Failure, now: float) -> Memory:
        """Return the memory after PIA did not take the token: no server is to blame."""
        rejection = Rejection(token, now + TOKEN_RETRY_SECONDS)
        return dataclasses.replace(self, rejection=rejection, failure=failure)

    def ended(self, session: Session, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after the session's end: its server goes to the end of the queue."""
        settled = now - self.since >= SETTLED_SECONDS
        waits = self.setbacks
        if settled:
            waits = setbacks.forgiven(waits, session.address)
        waits = setbacks.failed(waits, session.address, now, dice)
        return dataclasses.replace(self, session=None, setbacks=waits, failure=failure)
