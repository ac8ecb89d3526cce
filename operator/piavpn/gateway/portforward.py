"""When to ask PIA for a port and when to bind it. Pure.

A port is first signed, which gives it to the account for two months on every server, then bound at
the server of the session, again and again. What goes wrong here never touches the tunnel.
"""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime, timedelta

from piavpn.gateway.memory import Failure
from piavpn.gateway.porttrouble import Retry, Trouble
from piavpn.gateway.reasons import Reason
from piavpn.gateway.session import Session
from piavpn.pia import errors
from piavpn.pia.portforward import BIND_INTERVAL, SignedPort

RENEW_BEFORE = timedelta(days=7)
"""A signature with less than that left is replaced: the port changes then, at a quiet time."""
_MOST_DOUBLINGS = 10
CHECK_SOON_SECONDS, CHECK_SECONDS = 10.0, 3600.0
"""Until a newly bound port is tried from outside, and an open one again."""
ASKED_WITHIN = timedelta(hours=1)
"""A request that is older was answered by an earlier process, or is of no use any more."""
LONGEST_CHECK_SECONDS = 600.0
"""What the wait for a port that is not reached doubles up to: who is asked does it for nothing."""
_NO_RETRY, _NO_TROUBLE = Retry(), Trouble()
_NO_TUNNEL = Failure(Reason.NO_TUNNEL, "The tunnel is down: see the condition TunnelUp.")
_NO_TOKEN = Failure(
    Reason.WAITING_FOR_TOKEN,
    "There is no token of the PIA account yet: see the condition Authenticated.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What there is now."""

    wanted: bool
    session: Session | None
    token: str | None = dataclasses.field(repr=False)
    checkable: bool
    """Whether somebody outside can be asked to try the port."""
    now: datetime
    clock: float
    """Seconds of the monotonic clock."""
    asked: datetime | None = None
    """When somebody asked last to have the port tried from outside."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """What came of the last try from outside, and when the next one is due."""

    due: float
    is_open: bool | None = None
    """None: not tried yet, or nobody could tell."""
    why: str = ""
    misses: int = 0
    """Tries in a row that did not reach it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What earlier steps left."""

    held: SignedPort | None = None
    """The port that was bound last, maybe by an earlier process."""
    fresh: SignedPort | None = None
    """A newly signed one that was not bound yet."""
    lost: bool = False
    """Whether PIA refused the held port: it takes another."""
    bound_by: str = ""
    """Public key of the session that the held port is bound by; empty while by none."""
    bound_at: datetime | None = None
    next_bind: float = 0.0
    session: str = ""
    """Public key of the session that the retries are about."""
    sign: Retry = _NO_RETRY
    bind: Retry = _NO_RETRY
    failure: Failure | None = None
    """Why the last call failed, until one of its kind succeeds."""
    trouble: Trouble = _NO_TROUBLE
    check: Check | None = None
    """Of the held port by its session; None while it is bound by none."""
    answered: datetime | None = None
    """The request for a try that was answered last."""

    def at(self, session: Session) -> Memory:
        """Return the memory at this session: what failed at another one is tried at once."""
        if session.public_key == self.session:
            return self
        return dataclasses.replace(
            self, session=session.public_key, sign=Retry(), bind=Retry(), trouble=Trouble()
        )

    def aged(self, now: datetime) -> Memory:
        """Return the memory without a port whose signature has ended."""
        if self.held is None or self.held.expires_at > now:
            return self
        return dataclasses.replace(self, held=None, lost=False, bound_by="", bound_at=None)

    def signed(self, fresh: SignedPort) -> Memory:
        """Return the memory with a new port, to be bound."""
        return dataclasses.replace(self, fresh=fresh, sign=dataclasses.replace(self.sign, at=0.0))

    def bound(self, port: SignedPort, around: Around, dice: random.Random) -> Memory:
        """Return the memory after this port was bound by the present session."""
        # Earlier rather than later, and many gateways not at once.
        wait = BIND_INTERVAL.total_seconds() * dice.uniform(0.93, 1.0)
        again = port == self.held and self.bound_by == self.session
        check = self.check if again else None
        return dataclasses.replace(
            self,
            held=port,
            fresh=None,
            lost=False,
            bound_by=self.session,
            bound_at=around.now.replace(microsecond=0),
            next_bind=around.clock + wait,
            sign=Retry() if port == self.fresh else self.sign,
            bind=Retry(),
            failure=None,
            trouble=Trouble(),
            check=check or Check(around.clock + CHECK_SOON_SECONDS),
        )

    def checked(self, is_open: bool | None, why: str, clock: float) -> Memory:  # noqa: FBT001
        """Return the memory after somebody outside has tried the port, or could not tell."""
        if is_open:
            return dataclasses.replace(self, check=Check(clock + CHECK_SECONDS, is_open, why))
        misses = self.check.misses if self.check is not None else 0
        wait = min(CHECK_SOON_SECONDS * 2 ** min(misses, _MOST_DOUBLINGS), LONGEST_CHECK_SECONDS)
        return dataclasses.replace(self, check=Check(clock + wait, is_open, why, misses + 1))

    def not_signed(self, error: errors.PiaError, clock: float, dice: random.Random) -> Memory:
        """Return the memory after PIA gave no port."""
        failure = Failure(error.reason, error.message)
        trouble = self.trouble.after(error, clock)
        sign = self.sign.later(clock, dice)
        return dataclasses.replace(self, sign=sign, failure=failure, trouble=trouble)

    def not_bound(
        self, port: SignedPort, error: errors.PiaError, clock: float, dice: random.Random
    ) -> Memory:
        """Return the memory after a server did not bind this port."""
        changed = dataclasses.replace(
            self,
            bound_by="" if port == self.held else self.bound_by,
            bind=self.bind.later(clock, dice),
            failure=Failure(error.reason, error.message),
            trouble=self.trouble.after(error, clock),
        )
        if not isinstance(error, errors.PortBusy | errors.SignatureRejected):
            return changed
        # The first new port is asked for at once; if that is refused, too, there is no hurry.
        sign = changed.sign.later(clock, dice)
        sign = sign if sign.failures > 1 else dataclasses.replace(sign, at=clock)
        is_fresh = port == self.fresh
        return dataclasses.replace(
            changed,
            fresh=None if is_fresh else self.fresh,
            lost=self.lost or not is_fresh,
            sign=sign,
            bind=Retry(),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Off:
    """No app wants a port."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something changes."""

    why: Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is due."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sign:
    """Ask PIA for a new port."""

    session: Session
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Bind:
    """Have the session's server forward this port."""

    session: Session
    port: SignedPort


@dataclasses.dataclass(frozen=True, slots=True)
class TryFromOutside:
    """Ask whether this port is open."""

    session: Session
    port: int


@dataclasses.dataclass(frozen=True, slots=True)
class Decline:
    """Tell who asked for a try from outside that there is none."""

    why: str


Step = Off | Wait | Rest | Sign | Bind | TryFromOutside | Decline


def next_step(around: Around, memory: Memory) -> Step:
    """Return what to do; `memory` is that of the present session, and aged."""
    step = _next_step(around, memory)
    if is_asked(around, memory) and isinstance(step, Off | Wait | Rest):
        return _answer(around, memory)
    return step


def is_asked(around: Around, memory: Memory) -> bool:
    """Tell whether somebody asked for a try from outside, lately, and had no answer yet."""
    asked = around.asked
    if asked is None or asked == memory.answered:
        return False
    return around.now - asked < ASKED_WITHIN


def _answer(around: Around, memory: Memory) -> Step:
    if not around.wanted:
        return Decline("no app receives a forwarded port: give one receiveForwardedPort: {}")
    if not around.checkable:
        return Decline(
            "nobody can be asked: give spec.endpoints.portCheckURL, and an app that takes TCP"
        )
    if around.session is not None and memory.held is not None and _is_bound(memory):
        return TryFromOutside(around.session, memory.held.port)
    return Decline("the port is not forwarded: see the condition PortForwarded")


def _next_step(around: Around, memory: Memory) -> Step:
    if not around.wanted:
        return Off()
    if around.session is None:
        return Wait(_NO_TUNNEL)
    usable = _usable(memory)
    if _needs_another(memory, around.now) and around.clock >= memory.sign.at:
        if around.token is not None:
            return Sign(around.session, around.token)
        if usable is None:
            return Wait(_NO_TOKEN)
    if usable is not None and _due(memory, usable, around.clock):
        return Bind(around.session, usable)
    return _after_binding(around, around.session, memory)


def forwards(memory: Memory, clock: float) -> bool | None:
    """Tell whether the session's server forwards the port; None while it may yet."""
    if _is_bound(memory):
        return True
    return False if memory.trouble.lasts(clock) else None


def _after_binding(around: Around, session: Session, memory: Memory) -> Step:
    if around.checkable and _check_is_due(memory, around.clock) and memory.held is not None:
        return TryFromOutside(session, memory.held.port)
    return Rest()


def _needs_another(memory: Memory, now: datetime) -> bool:
    if memory.fresh is not None:
        return False
    if memory.held is None or memory.lost:
        return True
    return memory.held.expires_at - now < RENEW_BEFORE


def _usable(memory: Memory) -> SignedPort | None:
    """Return the port to bind: the newest that PIA did not refuse."""
    return memory.fresh or (None if memory.lost else memory.held)


def _is_bound(memory: Memory) -> bool:
    return memory.bound_by != "" and memory.bound_by == memory.session


def _check_is_due(memory: Memory, clock: float) -> bool:
    return _is_bound(memory) and memory.check is not None and clock >= memory.check.due


def _due(memory: Memory, port: SignedPort, clock: float) -> bool:
    if clock < memory.bind.at:
        return False
    return port == memory.fresh or memory.bound_by != memory.session or clock >= memory.next_bind
