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
from piavpn.gateway.inquiry import EXIT_ADDRESS, EXIT_ADDRESS_MISSES, OUTSIDE
from piavpn.gateway.kept import Kept
from piavpn.gateway.moves import Purpose, Returning
from piavpn.gateway.reasons import Reason
from piavpn.gateway.roles import Candidate, Current, Draining
from piavpn.gateway.session import Session
from piavpn.gateway.setbacks import Setback
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
    setbacks: setbacks.Setbacks = dataclasses.field(default_factory=dict)
    rejection: Rejection | None = None
    failure: Failure | None = None
    """The last attempt's, until one succeeds."""
    moving: Setback = _NO_SETBACK
    """Failures of moves away from the current session."""
    returning: Returning = _NEVER_RETURNED
    cut_off: int = 0
    """Sessions in a row whose servers forwarded nothing: the fault may be none of a server's."""
    exit_address: ipaddress.IPv4Address | None = None
    """The last one that is known."""

    @property
    def session(self) -> Session | None:
        """The current session, if there is one."""
        return self.current.session if self.current is not None else None

    def to_keep(self) -> Kept:
        """Return what a later process needs."""
        draining = self.draining
        return Kept(
            current=self.session,
            draining=draining.session if draining else None,
            drain_until=draining.until if draining else 0.0,
            exit_address=self.exit_address,
        )

    def servers_in_use(self) -> tuple[ipaddress.IPv4Address, ...]:
        """Return the servers that know a key of ours, or may at any moment, told of or not."""
        kept = self.kept.sessions if self.kept is not None else ()
        held = [one.session for one in (self.current, self.draining) if one is not None]
        tried = [self.candidate.server.address] if self.candidate is not None else []
        return (*(session.address for session in (*kept, *held)), *tried)

    def free_slots(self) -> tuple[Slot, ...]:
        """Return the slots that hold nothing."""
        held = [one.session.slot for one in (self.current, self.draining) if one is not None]
        if self.candidate is not None:
            held.append(self.candidate.slot)
        return tuple(slot for slot in SLOTS if slot not in held)

    def adopted(self, *, current: Session | None, draining: Session | None, now: float) -> Memory:
        """Return the memory with those sessions of the earlier process that live."""
        kept = self.kept or Kept()
        return dataclasses.replace(
            self,
            kept=None,
            current=Current(current, now) if current else None,
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
        the same, which knows one key of an account alone.
        """
        candidate, before = self.candidate, self.current
        draining = self.draining
        if before is not None:
            replaced = before.session.address == session.address
            until = now if replaced else now + grace
            draining = Draining(before.session, now, until, before.vitals)
        returned = candidate is not None and candidate.purpose is Purpose.RETURN
        return dataclasses.replace(
            self,
            kept=None,
            current=Current(session, now, Vitals(received), returned=returned),
            draining=draining,
            candidate=None,
            rejection=None,
            failure=None,
            moving=_NO_SETBACK,
            returning=Returning(now, self.returning.failures),
        )

    def failed(self, server: Server, failure: Failure, now: float, dice: random.Random) -> Memory:
        """Return the memory after the candidate at this server came to nothing."""
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
            failure=None,
            returning=Returning(now, self.returning.failures),
        )

    def released(self) -> Memory:
        """Return the memory without the draining session."""
        return dataclasses.replace(self, draining=None)

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

    def asked_outside(self, session: Session, *, answered: bool, now: float) -> Memory:
        """Return the memory after a question by this session to what lies beyond its server."""
        if self.current is None or self.current.session != session:
            return self
        outside = self.current.outside.after(answered=answered, rhythm=OUTSIDE, now=now)
        current = dataclasses.replace(self.current, outside=outside)
        cut_off = 0 if answered else self.cut_off
        return dataclasses.replace(self, current=current, cut_off=cut_off)

    def asked_exit(
        self, session: Session, address: ipaddress.IPv4Address | None, now: float
    ) -> Memory:
        """Return the memory after asking under which address the Internet sees this session.

        Args:
            session: the one that asked.
            address: the answer; None: there was none.
            now: the present.
        """
        current = self.current
        if current is None or current.session != session:
            return self
        told = address is not None
        exit_ = current.exit.after(answered=told, rhythm=EXIT_ADDRESS, now=now)
        told_ever = told or current.exit_told
        if not told_ever and exit_.misses >= EXIT_ADDRESS_MISSES:
            address = session.address
        return dataclasses.replace(
            self,
            current=dataclasses.replace(current, exit=exit_, exit_told=told_ever),
            exit_address=address or self.exit_address,
        )

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
