"""The gateway's loop: look around, decide, act, and let the status be known."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import random
import time
from typing import Protocol

from piavpn import logs
from piavpn.gateway import (
    attempt,
    decide,
    events,
    inputs,
    inquirer,
    kept,
    resolver,
    silence,
    status,
    tally,
    tunnel,
    watch,
)
from piavpn.gateway.errand import Errand
from piavpn.gateway.memory import Memory
from piavpn.gateway.session import Session
from piavpn.gateway.surroundings import Observer

log = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
"""No turn lasts that long unless something hangs."""
_WAIT_SECONDS = 0.2


class Audience(Protocol):
    """Who is told what becomes of the tunnel; neither call may block."""

    def show(self, report: status.Report) -> None:
        """Take what the status should say."""

    def tell(self, event: events.Event) -> None:
        """Take what happened."""


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What came of an attempt at a session."""

    step: decide.Register
    outcome: Session | attempt.AttemptError
    seconds: float


class Gateway:
    """One VPN's tunnel."""

    def __init__(self, files: inputs.Files, audience: Audience, dice: random.Random) -> None:
        """Take up what an earlier process of this pod left.

        Args:
            files: where inputs and state are.
            audience: who is told.
            dice: spreads retries of many gateways.
        """
        self._files = files
        self._state_file = files.state / "sessions.json"
        self._audience = audience
        self._dice = dice
        self._observer = Observer(files)
        self._ways = tunnel.Ways()
        self._attempt: Errand[Made] = Errand("attempt")
        self._inquirer = inquirer.Inquirer()
        self._kept = kept.load(self._state_file)
        self._memory = Memory(
            kept=self._kept if self._kept.sessions else None, exit_address=self._kept.exit_address
        )
        self._tally = tally.Tally()
        self._resolver = resolver.Resolver(files.state)
        self._said = ""
        self._turned = time.monotonic()

    def start(self) -> None:
        """Set what holds with and without a session.

        Raises:
            NftError: the rules are refused.
            NetlinkError: the routes are refused.
        """
        self._ways.prepare(self._kept)

    def live(self) -> bool:
        """Tell whether the loop goes on."""
        return time.monotonic() - self._turned < STUCK_SECONDS

    def ready(self) -> bool:
        """Tell whether the tunnel is up."""
        return self.current() is not None

    def current(self) -> Session | None:
        """Return the session that new connections use; from any thread."""
        return self._memory.session

    def exits(self) -> frozenset[ipaddress.IPv4Address]:
        """Return the addresses under which the Internet may see that session; from any thread."""
        memory = self._memory
        known = (memory.exit_address, memory.session.address if memory.session else None)
        return frozenset(address for address in known if address is not None)

    def hear_of_port(self, session: Session, *, forwards: bool) -> None:
        """Take whether this session's server forwards the port; from any thread."""
        self._inquirer.hear_of_port(session, forwards=forwards)

    def memory(self) -> Memory:
        """Return what is known of the tunnel; from any thread."""
        return self._memory

    def tally(self) -> tally.Tally:
        """Return what has happened to the tunnel; from any thread."""
        return self._tally

    def turn(self) -> None:
        """Take one step and the time that it needs.

        Raises:
            NftError: nft does not work here at all.
        """
        self._turned = time.monotonic()
        around = self._observer.look()
        if around.config is not None and not around.missing:
            self._ways.ask(around.config.dns_upstreams)
            resolv_conf = self._files.resolv_conf.read_text(encoding="utf-8")
            self._resolver.go_by(around.config, resolv_conf)
        self._collect(around)
        step = decide.next_step(around, self._memory, time.monotonic())
        if report := status.of_step(step, self._memory, around.config):
            self._audience.show(report)
        self._take(step, around)

    def stop(self) -> None:
        """End what the gateway started; the tunnel itself ends with its pod."""
        self._resolver.stop()

    def _collect(self, around: decide.Surroundings) -> None:
        """Take the outcomes of what went on beside the loop."""
        self._become(self._inquirer.told(self._memory))
        if (made := self._attempt.outcome()) is not None:
            self._end_attempt(made, around)

    def _take(self, step: decide.Step, around: decide.Surroundings) -> None:
        match step:
            case decide.Wait(why):
                self._say(f"waiting: {why.message}", why.reason)
                time.sleep(_WAIT_SECONDS)
            case decide.Adopt(left):
                self._adopt(left)
            case decide.Register(candidate):
                server = candidate.server
                move = f" ({candidate.purpose})" if candidate.purpose else ""
                self._say(f"registering at {server.cn} ({server.region}){move}")
                self._attempt.begin(lambda: _made(step, self._ways))
                self._become(self._memory.trying(candidate))
            case decide.Await():
                self._attempt.wait(_WAIT_SECONDS)
            case decide.Watch():
                self._watch(step, around)
            case decide.GiveUp(session, failure):
                self._say(failure.message, failure.reason, level=logging.WARNING)
                self._ways.close(session.slot)
                self._become(self._memory.ended(failure, time.monotonic(), self._dice))
            case decide.Lose(_, failure):
                self._say(failure.message, failure.reason, level=logging.WARNING)
                now = time.monotonic()
                self._become(silence.begun(self._memory, failure, now, self._dice))
            case decide.TakeBack(session):
                self._take_back(session)
            case decide.Release(session, reason):
                self._say(f"leaving {session.place}: {reason}")
                self._ways.close(session.slot)
                self._become(self._memory.released(session))

    def _adopt(self, left: kept.Kept) -> None:
        current, draining = left.current, left.draining
        lost = None
        if current is not None and not tunnel.carries(current):
            self._ways.close(current.slot)
            current = None
        elif current is not None and not attempt.answers(current):
            text = f"the session at {current.place} of an earlier process does not answer"
            self._say(text, level=logging.WARNING)
            current, lost = None, current
        if draining is not None and not tunnel.carries(draining):
            draining = None
        for session in (current, draining):
            if session is not None:
                self._say(f"adopted the session at {session.place}")
        now = time.monotonic()
        self._become(self._memory.adopted(current=current, draining=draining, lost=lost, now=now))

    def _end_attempt(self, made: Made, around: decide.Surroundings) -> None:
        if isinstance(made.outcome, Session):
            self._become(self._inquirer.told_at_last(self._memory))
        now = time.monotonic()
        match made:
            case Made(_, Session() as session) if not silence.needs(self._memory, session):
                self._say(f"the tunnel to {session.place} is not needed any more")
                self._ways.close(session.slot)
                self._become(silence.without_candidate(self._memory))
            case Made(step, Session() as session):
                self._say(f"the tunnel to {session.place} is up", seconds=made.seconds)
                self._ways.switch(session)
                self._close_lost()
                grace = (around.config or step.config).grace_seconds
                self._become(
                    self._memory.proven(
                        session, received=tunnel.received(session) or 0, now=now, grace=grace
                    )
                )
            case Made(step, attempt.TokenRejectedError() as error):
                self._say_failed(error, made.seconds)
                self._become(self._memory.rejected(step.token, error.failure, now, self._dice))
            case Made(step, attempt.AttemptError() as error):
                self._say_failed(error, made.seconds)
                server = step.candidate.server
                self._become(self._memory.failed(server, error.failure, now, self._dice))

    def _take_back(self, session: Session) -> None:
        if not attempt.answers(session):
            self._say(f"the old session at {session.place} is dead, too", level=logging.WARNING)
            self._ways.close(session.slot)
            self._become(self._memory.released(session))
            return
        self._say(f"back on the session at {session.place}")
        self._ways.switch(session)
        self._close_lost()
        received = tunnel.received(session) or 0
        self._become(self._memory.taken_back(received=received, now=time.monotonic()))

    def _close_lost(self) -> None:
        if self._memory.lost is not None:
            self._ways.close(self._memory.lost.session.slot)

    def _watch(self, step: decide.Watch, around: decide.Surroundings) -> None:
        self._inquirer.ask(step.current, around.config)
        seen = watch.look(step)
        self._become(
            self._memory.watched(answered=seen.answered, received=seen.received, busy=seen.busy)
        )

    def _become(self, after: Memory) -> None:
        """Go on with this memory; keep for a restart what has changed of it, and tell it."""
        before, self._memory = self._memory, after
        self._tally = self._tally.after(before, after)
        if after.to_keep() != before.to_keep() and after.kept is None:
            kept.save(self._state_file, after.to_keep())
        for event in events.between(before, after):
            self._audience.tell(event)

    def _say_failed(self, error: attempt.AttemptError, seconds: float) -> None:
        self._say(str(error), error.failure.reason, level=logging.WARNING, seconds=seconds)

    def _say(
        self,
        line: str,
        reason: str | None = None,
        *,
        level: int = logging.INFO,
        seconds: float | None = None,
    ) -> None:
        if line != self._said:
            log.log(level, "%s", line, extra=logs.why(reason, seconds))
            self._said = line


def _made(step: decide.Register, ways: tunnel.Ways) -> Made:
    begun = time.monotonic()
    outcome: Session | attempt.AttemptError
    try:
        outcome = attempt.make(step, ways)
    except attempt.AttemptError as error:
        outcome = error
    return Made(step, outcome, time.monotonic() - begun)
