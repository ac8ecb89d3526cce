"""What the gateway tells of itself: a pure function of its step."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from piavpn.api import codec, conditions, piavpns
from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import decide, moves, portreport
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.reasons import Reason
from piavpn.gateway.session import Session
from piavpn.pia import errors

_FAILING = {
    moves.Purpose.LOCATION_CHANGE: Reason.LOCATION_CHANGE_FAILING,
    moves.Purpose.RENEWAL: Reason.RENEWAL_FAILING,
    moves.Purpose.RETURN: Reason.RETURN_FAILING,
    moves.Purpose.PORT_FORWARDING: Reason.PORT_MOVE_FAILING,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The gateway's part of a PiaVpn's status, but for times and generation."""

    session: piavpns.Session | None
    registered: conditions.Condition
    tunnel_up: conditions.Condition
    candidates: tuple[ipaddress.IPv4Address, ...] = ()
    """The servers that the gateway goes by: those that it was told of last, and those where it has
    or tries a session. No other tunnel is given one meanwhile."""
    exit_address: ipaddress.IPv4Address | None = None


def of_step(step: decide.Step, memory: Memory, config: GatewayConfig | None) -> Report | None:
    """Return what to report; None where the step changes nothing that was reported.

    Args:
        step: what is done next.
        memory: what is known before that.
        config: what the operator wants, if it can be read.
    """
    report = _of_step(step, memory, config)
    if report is None:
        return None
    told = [server.address for server in config.servers] if config is not None else []
    candidates = dict.fromkeys((*told, *memory.servers_in_use()))
    return dataclasses.replace(report, candidates=tuple(candidates))


def body(  # noqa: PLR0913 - a status has these parts
    vpn: str,
    report: Report,
    port: portreport.PortReport | None = None,
    *,
    before: Iterable[conditions.Condition],
    generation: int,
    now: datetime,
) -> dict[str, Any]:
    """Return what the gateway applies to `/status`: always the whole of its part.

    Args:
        vpn: name of the PiaVpn.
        report: what is so now.
        port: what is so of the forwarded port; None where there is none to be.
        before: the conditions that the PiaVpn has.
        generation: the PiaVpn's generation that this is about.
        now: time of transition for what changed.
    """
    told = [report.registered, report.tunnel_up, *(port.conditions if port else ())]
    wanted = [dataclasses.replace(each, observed_generation=generation) for each in told]
    status: dict[str, Any] = {
        "conditions": conditions.to_status(conditions.transitioned(before, wanted, now))
    }
    if report.session is not None:
        status["session"] = codec.encode(report.session)
    if report.candidates:
        status["candidateServers"] = codec.encode(report.candidates)
    if report.exit_address is not None:
        status["exitAddress"] = codec.encode(report.exit_address)
    if port is not None and port.forwarded_port is not None:
        status["forwardedPort"] = codec.encode(port.forwarded_port)
    return {"metadata": {"name": vpn}, "status": status}


def _of_step(step: decide.Step, memory: Memory, config: GatewayConfig | None) -> Report | None:
    match step:
        case decide.Watch(current, _, waiting):
            return _up(current.session, waiting, memory, config)
        case decide.Wait(why) | decide.GiveUp(_, why) | decide.Lose(_, why):
            return _down(why, memory)
        case decide.Register(candidate) if memory.failure is None and memory.current is None:
            server = candidate.server
            message = f"Registering at {server.cn} ({server.region})."
            return _down(Failure(Reason.REGISTERING, message), memory)
        case _:
            return None


def _up(
    session: Session, waiting: moves.Move | None, memory: Memory, config: GatewayConfig | None
) -> Report:
    renewal = config.renewal if config is not None else None
    appointed = renewal is not None and renewal.public_key == session.public_key
    return Report(
        session.to_status(renewal.time if renewal is not None and appointed else None),
        _registered_at(session, waiting, memory),
        _tunnel_up("True", Reason.SERVER_ANSWERS, f"{session.place} answers pings."),
        exit_address=memory.exit_address,
    )


def _registered_at(
    session: Session, waiting: moves.Move | None, memory: Memory
) -> conditions.Condition:
    message = f"{session.place} knows the gateway's key."
    if waiting is None or memory.failure is None:
        return _registered("True", Reason.REGISTERED, message)
    trouble = (
        f"{message} A session at another server is due ({waiting.purpose}) and failed "
        f"{memory.moving.failures} times so far: {memory.failure.message} The tunnel stays, and "
        "the gateway tries again."
    )
    # The reason by which the operator knows that it takes another login, tunnel or not.
    rejected = memory.failure.reason == errors.TokenRejected.reason
    reason = memory.failure.reason if rejected else _FAILING[waiting.purpose]
    return _registered("True", reason, trouble)


def _down(why: Failure, memory: Memory) -> Report:
    return Report(
        None,
        _registered("False", why.reason, why.message),
        _tunnel_up("False", why.reason, why.message),
        exit_address=memory.exit_address,
    )


def _registered(status: str, reason: str, message: str) -> conditions.Condition:
    return conditions.Condition(
        conditions.PiaVpnCondition.REGISTERED, conditions.Status(status), reason, message
    )


def _tunnel_up(status: str, reason: str, message: str) -> conditions.Condition:
    return conditions.Condition(
        conditions.PiaVpnCondition.TUNNEL_UP, conditions.Status(status), reason, message
    )
