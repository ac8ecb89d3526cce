"""What the gateway does next. Pure: an ordered list of questions about what is there and known."""

from __future__ import annotations

import dataclasses

from piavpn.api.gateway_config import GatewayConfig, Server
from piavpn.gateway import setbacks
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.session import Session
from piavpn.gateway.vitals import MISSES


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What the gateway finds around itself."""

    missing: tuple[str, ...]
    """What the node agent has yet to make, or what is gone."""
    config: GatewayConfig | None
    config_problem: str
    """Why there is no `config`."""
    token: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something changes."""

    why: Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Adopt:
    """Go on with a session of an earlier process if it still lives."""

    session: Session


@dataclasses.dataclass(frozen=True, slots=True)
class Register:
    """Make a session at this server."""

    server: Server
    config: GatewayConfig
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """The tunnel is up: keep an eye on it."""

    session: Session


@dataclasses.dataclass(frozen=True, slots=True)
class GiveUp:
    """The session is over."""

    session: Session
    why: Failure


Step = Wait | Adopt | Register | Watch | GiveUp


def next_step(around: Surroundings, memory: Memory, now: float) -> Step:
    """Return what to do at `now`, in seconds of the monotonic clock."""
    if memory.session is not None:
        return _keep_or_end(around, memory, memory.session)
    if around.missing:
        return _wait(
            "WaitingForNode",
            f"The node agent has yet to make {', '.join(around.missing)} in the gateway's pod: "
            "see the condition GatewayAttached.",
        )
    if around.config is None:
        return _wait("ConfigurationUnusable", around.config_problem)
    if memory.kept is not None:
        return Adopt(memory.kept)
    return _register(around.config, around.token, memory, now)


def _keep_or_end(around: Surroundings, memory: Memory, session: Session) -> Step:
    if session.link in around.missing:
        return GiveUp(session, Failure("LinkGone", f"The link {session.link} is gone."))
    if memory.vitals.dead:
        message = (
            f"{session.place} answered none of {MISSES} pings through the tunnel and sent nothing "
            "else; the gateway registers anew."
        )
        return GiveUp(session, Failure("ServerSilent", message))
    if around.config is not None and not _is_wanted(session, around.config):
        message = f"{session.place} is in none of the locations asked for now; moving."
        return GiveUp(session, Failure("LocationChanged", message))
    return Watch(session)


def _is_wanted(session: Session, config: GatewayConfig) -> bool:
    """Tell by the region: a server's address may leave PIA's list and go on living.

    Without a server in the locations asked for, such as a misspelt one, there is nowhere to move.
    """
    somewhere = any(server.region in config.locations for server in config.servers)
    return session.region in config.locations or not somewhere


def _register(config: GatewayConfig, token: str | None, memory: Memory, now: float) -> Step:
    if token is None:
        return _wait(
            "WaitingForToken",
            "There is no token of the PIA account yet: see the condition Authenticated.",
        )
    rejection = memory.rejection
    if rejection is not None and rejection.token == token and now < rejection.until:
        return _wait_after(memory)
    if not config.servers:
        return _wait(
            "NoServers", "There is no server to register at: see the condition ServersKnown."
        )
    server = setbacks.choose(config.servers, memory.setbacks, now)
    return Register(server, config, token) if server else _wait_after(memory)


def _wait_after(memory: Memory) -> Wait:
    return Wait(memory.failure or Failure("NoServerAnswered", "No server could be used so far."))


def _wait(reason: str, message: str) -> Wait:
    return Wait(Failure(reason, message))
