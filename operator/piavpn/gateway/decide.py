"""What the gateway does next. Pure: an ordered list of questions about what is there and known."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import moves, setbacks
from piavpn.gateway.inquiry import outside_misses
from piavpn.gateway.kept import Kept
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.reasons import Reason
from piavpn.gateway.roles import Candidate, Current, Draining
from piavpn.gateway.session import Session
from piavpn.gateway.vitals import MISSES

SHORTEST_DRAIN_SECONDS = 10.0
"""A connection that began just before the switch may have had no answer yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What the gateway finds around itself."""

    missing: tuple[str, ...]
    """What the node agent has yet to make, or what is gone."""
    config: GatewayConfig | None
    config_problem: str
    """Why there is no `config`."""
    token: str | None = dataclasses.field(repr=False)
    time: datetime
    """What the wall clock says."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something changes."""

    why: Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Adopt:
    """Go on with the sessions of an earlier process if they still live."""

    kept: Kept


@dataclasses.dataclass(frozen=True, slots=True)
class Register:
    """Begin to make a session, while a tunnel that lives goes on."""

    candidate: Candidate
    config: GatewayConfig
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Await:
    """A session is being made, and there is no other."""

    candidate: Candidate


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """The tunnel is up: keep an eye on it."""

    current: Current
    draining: Draining | None = None
    waiting: moves.Move | None = None
    """A move that is due and cannot be tried yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class GiveUp:
    """The current session is over."""

    session: Session
    why: Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Lose:
    """The current session's server is silent: another session is wanted, and this one kept."""

    session: Session
    why: Failure


@dataclasses.dataclass(frozen=True, slots=True)
class TakeBack:
    """Use the draining session again, if it answers: the one that followed it is dead."""

    session: Session


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Nothing needs the draining session, or the lost one, any more."""

    session: Session
    why: str


Step = Wait | Adopt | Register | Await | Watch | GiveUp | Lose | TakeBack | Release


def next_step(around: Surroundings, memory: Memory, now: float) -> Step:
    """Return what to do at `now`, in seconds of the monotonic clock."""
    current, draining = memory.current, memory.draining
    if current is not None and (why := _end(around, memory, current)):
        silent = why.reason == Reason.SERVER_SILENT
        return Lose(current.session, why) if silent else GiveUp(current.session, why)
    if draining is not None and (reason := _end_of_drain(around, draining, now)):
        return Release(draining.session, reason)
    if memory.lost is not None and memory.lost.session.link in around.missing:
        return Release(memory.lost.session, "its link is gone")
    if current is not None:
        return _watch_or_move(around, memory, current, now)
    if draining is not None:
        return TakeBack(draining.session)
    return _without_tunnel(around, memory, now)


def _end(around: Surroundings, memory: Memory, current: Current) -> Failure | None:
    """Return why the current session is dead; None while it lives."""
    session = current.session
    if session.link in around.missing:
        return Failure(Reason.LINK_GONE, f"The link {session.link} is gone.")
    if current.vitals.dead:
        return Failure(
            Reason.SERVER_SILENT,
            f"{session.place} answered none of {MISSES} pings through the tunnel and sent nothing "
            "else; the gateway looks for another server, and keeps this session until it has one.",
        )
    if current.outside.misses >= outside_misses(memory.cut_off):
        return Failure(
            Reason.NO_INTERNET,
            f"{session.place} answers pings and forwards nothing: none of {current.outside.misses} "
            "questions to its resolvers was answered; the gateway registers anew.",
        )
    return None


def _end_of_drain(around: Surroundings, draining: Draining, now: float) -> str | None:
    """Return why the old session is not needed any more; None while it is."""
    if draining.session.link in around.missing:
        return "its link is gone"
    if draining.vitals.dead:
        return "its server is silent"
    if now >= draining.until:
        return "the grace period is over"
    if not draining.busy and now - draining.since >= SHORTEST_DRAIN_SECONDS:
        return "its last connection has ended"
    return None


def _watch_or_move(around: Surroundings, memory: Memory, current: Current, now: float) -> Step:
    config, token = around.config, around.token
    watch = Watch(current, memory.draining)
    if config is None:
        return watch
    move = moves.due(
        current.session, config, memory.returning, memory.portless, now=now, time=around.time
    )
    if move is None:
        return watch
    waiting = dataclasses.replace(watch, waiting=move)
    slots = memory.free_slots()
    if memory.candidate is not None or around.missing or not slots or now < memory.moving.until:
        return waiting
    if token is None or _is_rejected(token, memory, now):
        return waiting
    server = setbacks.choose(move.targets, memory.setbacks, now)
    if server is None:
        return waiting
    return Register(Candidate(server, slots[0], move.purpose), config, token)


def _without_tunnel(around: Surroundings, memory: Memory, now: float) -> Step:
    if memory.candidate is not None:
        return Await(memory.candidate)
    if around.missing:
        return _wait(
            Reason.WAITING_FOR_NODE,
            f"The node agent has yet to make {', '.join(around.missing)} in the gateway's pod: "
            "see the condition GatewayAttached.",
        )
    if around.config is None:
        return _wait(Reason.CONFIGURATION_UNUSABLE, around.config_problem)
    if memory.kept is not None:
        return Adopt(memory.kept)
    return _register(around.config, around.token, memory, now)


def _register(config: GatewayConfig, token: str | None, memory: Memory, now: float) -> Step:
    if token is None:
        return _wait(
            Reason.WAITING_FOR_TOKEN,
            "There is no token of the PIA account yet: see the condition Authenticated.",
        )
    if _is_rejected(token, memory, now):
        return _wait_after(memory)
    if not config.servers:
        return _wait(
            Reason.NO_SERVERS, "There is no server to register at: see the condition ServersKnown."
        )
    server = setbacks.choose(config.servers, memory.setbacks, now)
    if server is None:
        return _wait_after(memory)
    return Register(Candidate(server, memory.free_slots()[0]), config, token)


def _is_rejected(token: str, memory: Memory, now: float) -> bool:
    rejection = memory.rejection
    return rejection is not None and rejection.token == token and now < rejection.until


def _wait_after(memory: Memory) -> Wait:
    return Wait(
        memory.failure or Failure(Reason.NO_SERVER_ANSWERED, "No server could be used so far.")
    )


def _wait(reason: Reason, message: str) -> Wait:
    return Wait(Failure(reason, message))
