"""What a session is to the gateway, in the order of its life; each has a slot of its own. Pure.

The candidate is being made, the current one takes new connections, and the draining one, which was
current, keeps the connections that it has. A lost one was current until its server fell silent.
Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import dataclasses

from piavpn.api.gateway_config import Server
from piavpn.gateway.inquiry import Inquiry
from piavpn.gateway.moves import Purpose, Returning
from piavpn.gateway.session import Session
from piavpn.gateway.slots import Slot
from piavpn.gateway.vitals import Vitals

_UNWATCHED = Vitals(received=0)
_AT_ONCE = Inquiry()


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """The session that is being made."""

    server: Server
    slot: Slot
    purpose: Purpose | None = None
    """None where there is no tunnel to begin with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Current:
    """The session that new connections use."""

    session: Session
    since: float = 0.0
    """When it was proven."""
    vitals: Vitals = _UNWATCHED
    outside: Inquiry = _AT_ONCE
    exit: Inquiry = _AT_ONCE
    returned: bool = False
    """Whether a return from a fallback location made it."""
    exit_told: bool = False
    """Whether PIA told its exit address."""


@dataclasses.dataclass(frozen=True, slots=True)
class Draining:
    """The session that established connections still use."""

    session: Session
    since: float
    until: float
    vitals: Vitals = _UNWATCHED
    busy: bool = True
    """Whether there are such connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """A session that is kept as long as there is no other: maybe our own way to it is cut."""

    current: Current
    """What it was."""
    returning: Returning
    """How the way back from a fallback location went until then."""

    @property
    def session(self) -> Session:
        """The session."""
        return self.current.session
