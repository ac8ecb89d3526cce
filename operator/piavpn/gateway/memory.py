"""What the gateway remembers between its steps, and how each outcome changes that. Pure.

Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from collections.abc import Collection, Mapping

from piavpn.api.gateway_config import Server
from piavpn.gateway import setbacks
from piavpn.gateway.kept import Kept
from piavpn.gateway.moves import Purpose, Returning
from piavpn.gateway.portless import Portless
from piavpn.gateway.reasons import Reason
from piavpn.gateway.roles import Candidate, Current, Draining, Lost
from piavpn.gateway.session import Session
from piavpn.gateway.setbacks import Setback, Setbacks
from piavpn.gateway.slots import SLOTS, Slot
from piavpn.gateway.vitals import Vitals

TOKEN_RETRY_SECONDS = 300.0
"""After which a rejected token is tried again: a new login may have given the same one."""
SETTLED_SECONDS = 60.0
"""A session that lived this long clears its server's earlier failures."""
RETURN_SETTLED_SECONDS = 1800.0
"""A return whose session lived this long was right."""
_FIRST_MOVE_WAIT, _LONGEST_MOVE_WAIT = 5.0, 600.0

_NO_SETBACK = Setback()
_NEVER_RETURNED = Returning()
_NONE_PORTLESS = Portless()


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why something came to nothing: a condition's reason and message."""

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

    kept: Kept | None = None
    """What an earlier process left, until it was looked at."""
    current: Current | None = None
    draining: Draining | None = None
    candidate: Candidate | None = None
    lost: Lost | None = None
    """Only where there is no current one."""
    setbacks: Setbacks = dataclasses.field(default_factory=dict)
    calm: Setbacks = dataclasses.field(default_factory=dict)
    """The setbacks as they were when there was last a tunnel."""
    rejection: Rejection | None = None
    failure: Failure | None = None
    """The last attempt's, until one succeeds."""
    moving: Setback = _NO_SETBACK
    """Failures of moves away from the current session."""
    returning: Returning = _NEVER_RETURNED
    portless: Portless = _NONE_PORTLESS
    cut_off: int = 0
    """Sessions in a row whose servers forwarded nothing: the fault may be none of a server's."""
    exit_address: ipaddress.IPv4Address | None = None
    """The last one that is known."""

    @property
    def session(self) -> Session | None:
        """The current session, if there is one."""
        return self.current.session if self.current is not None else None

    @property
    def superfluous(self) -> bool:
        """Whether there is a tunnel again before the candidate has become one."""
        candidate = self.candidate
        return self.current is not None and candidate is not None and candidate.purpose is None

    def to_keep(self) -> Kept:
        """Return what a later process needs."""
        draining = self.draining
        return Kept(
            current=self.lost.session if self.lost is not None else self.session,
            draining=draining.session if draining else None,
            drain_until=draining.until if draining else 0.0,
            exit_address=self.exit_address,
        )

    def servers_in_use(self) -> tuple[ipaddress.IPv4Address, ...]:
        """Return the servers that know a key of ours, or may at any moment, told of or not."""
        kept = self.kept.sessions if self.kept is not None else ()
        held = [one.session for one in self._held()]
        tried = [self.candidate.server.address] if self.candidate is not None else []
        return (*(session.address for session in (*kept, *held)), *tried)

    def free_slots(self) -> tuple[Slot, ...]:
        """Return the slots that hold nothing."""
        held = [one.session.slot for one in self._held()]
        if self.candidate is not None:
            held.append(self.candidate.slot)
        return tuple(slot for slot in SLOTS if slot not in held)

    def adopted(
        self,
        *,
        current: Session | None,
        draining: Session | None,
        lost: Session | None = None,
        now: float,
    ) -> Memory:
        """Return the memory with those sessions of the earlier process that live, or may.

        Args:
            current: the one that was current, if it answers.
            draining: the one that drained.
            lost: the one that was current, if it does not answer.
            now: the present.
        """
        kept = self.kept or Kept()
        return dataclasses.replace(
            self,
            kept=None,
            current=Current(current, now) if current else None,
            lost=Lost(Current(lost, now), Returning(now)) if lost else None,
            draining=Draining(draining, now, kept.drain_until) if draining else None,
            returning=Returning(now),
            exit_address=kept.exit_address,
        )

    def trying(self, candidate: Candidate) -> Memory:
        """Return the memory while this session is made."""
        return dataclasses.replace(self, candidate=candidate)

    def proven(self, session: Session, *, received: int, now: float, grace: float) -> Memory:
        """Return the memory with this session, whose tunnel answered, as the current one.

        The one that was current drains for `grace` seconds at most; not at all where the server is
        the same, which knows one key of an account alone. One that was lost is not needed any more.
        """
        candidate, before = self.candidate, self.current
        draining = self.draining
        if before is not None:
            replaced = before.session.address == session.address
            until = now if replaced else now + grace
            draining = Draining(before.session, now, until, before.vitals)
        purpose = candidate.purpose if candidate is not None else None
        for_port = purpose is Purpose.PORT_FORWARDING
        waits = self.setbacks
        if before is None:
            waits = setbacks.of_all(waits, self.calm, session.address)
        return dataclasses.replace(
            self,
            kept=None,
            lost=None,
            setbacks=waits,
            current=Current(session, now, Vitals(received), returned=purpose is Purpose.RETURN),
            draining=draining,
            candidate=None,
            rejection=None,
            failure=None,
            moving=_NO_SETBACK,
            returning=Returning(now, self.returning.failures),
            portless=self.portless.moved(now) if for_port else self.portless,
        )

    def failed(self, server: Server, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after the candidate at this server came to nothing."""
        if self.superfluous:
            return dataclasses.replace(self, candidate=None, failure=failure)
        waits = setbacks.failed(self.setbacks, server.address, now, dice)
        return self._without_candidate(failure, now, dice, setbacks=waits)

    def rejected(self, token: str, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after PIA did not take the token: no server is to blame."""
        rejection = Rejection(token, now + TOKEN_RETRY_SECONDS)
        return self._without_candidate(failure, now, dice, rejection=rejection)

    def ended(self, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after the current session's end: its server is tried last."""
        current = self.current
        if current is None:
            return self
        lived = now - current.since
        address, waits = current.session.address, self.setbacks
        if lived >= SETTLED_SECONDS:
            waits = setbacks.forgiven(waits, address)
        return dataclasses.replace(
            self,
            current=None,
            setbacks=setbacks.failed(waits, address, now, dice),
            calm=waits,
            failure=failure,
            cut_off=self.cut_off + (failure.reason == Reason.NO_INTERNET),
            moving=_NO_SETBACK,
            returning=_after_end(self.returning, current, lived),
        )

    def taken_back(self, *, received: int, now: float) -> Memory:
        """Return the memory with the draining session as the current one again."""
        if self.draining is None:
            return self
        return dataclasses.replace(
            self,
            current=Current(self.draining.session, now, Vitals(received)),
            draining=None,
            lost=None,
            failure=None,
            returning=Returning(now, self.returning.failures),
        )

    def released(self, session: Session) -> Memory:
        """Return the memory without this session, which drained or was lost."""
        drained = self.draining is not None and self.draining.session == session
        was_lost = self.lost is not None and self.lost.session == session
        return dataclasses.replace(
            self,
            draining=None if drained else self.draining,
            lost=None if was_lost else self.lost,
        )

    def watched(
        self,
        *,
        answered: Collection[str],
        received: Mapping[str, int | None],
        busy: bool | None,
    ) -> Memory:
        """Return the memory after one more ping of each session.

        Args:
            answered: the links by which the answer came.
            received: what each link's counter says.
            busy: whether the draining session has connections; None where nobody looked.
        """
        current, draining = self.current, self.draining
        if current is not None:
            vitals = _after_ping(current.session, current.vitals, answered, received)
            current = dataclasses.replace(current, vitals=vitals)
        if draining is not None:
            vitals = _after_ping(draining.session, draining.vitals, answered, received)
            busy = draining.busy if busy is None else busy
            draining = dataclasses.replace(draining, vitals=vitals, busy=busy)
        return dataclasses.replace(self, current=current, draining=draining)

    def _held(self) -> list[Current | Draining | Lost]:
        return [one for one in (self.current, self.draining, self.lost) if one is not None]

    def _without_candidate(
        self, failure: Failure, now: float, dice: random.Random, **changes: object
    ) -> Memory:
        """Return the memory with one more failure: of a move, where there is a tunnel."""
        moving, returning = self.moving, self.returning
        if self.current is not None:
            moving = moving.again(now, dice, first=_FIRST_MOVE_WAIT, longest=_LONGEST_MOVE_WAIT)
            if self.candidate is not None and self.candidate.purpose is Purpose.RETURN:
                returning = Returning(now, returning.failures + 1)
        return dataclasses.replace(
            self,
            candidate=None,
            failure=failure,
            moving=moving,
            returning=returning,
            **changes,  # type: ignore[arg-type]
        )


def _after_ping(
    session: Session,
    vitals: Vitals,
    answered: Collection[str],
    received: Mapping[str, int | None],
) -> Vitals:
    link = session.link
    return vitals.after(answered=link in answered, received=received.get(link))


def _after_end(returning: Returning, ended: Current, lived: float) -> Returning:
    """Return how returns go, after the end of a session that lived so long."""
    if lived >= RETURN_SETTLED_SECONDS:
        return Returning(returning.since)
    failures = returning.failures + 1 if ended.returned else returning.failures
    return Returning(returning.since, failures)
