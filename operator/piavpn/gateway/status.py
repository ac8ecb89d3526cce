"""What the gateway tells of itself: a pure function of its step."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from piavpn.api import codec, conditions, types
from piavpn.gateway import decide
from piavpn.gateway.memory import Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The gateway's part of a PiaVpn's status, but for times and generation."""

    session: types.Session | None
    registered: conditions.Condition
    tunnel_up: conditions.Condition
    candidates: tuple[ipaddress.IPv4Address, ...] = ()
    """The servers that the gateway goes by: no other tunnel is given one meanwhile."""


def of_step(step: decide.Step, failure: Failure | None) -> Report | None:
    """Return what to report; None where the step changes nothing that was reported.

    Args:
        step: what is done next.
        failure: the last attempt's, which stands until one succeeds.
    """
    match step:
        case decide.Watch(session):
            return Report(
                session.to_status(),
                _registered("True", "Registered", f"{session.place} knows the gateway's key."),
                _tunnel_up("True", "ServerAnswers", f"{session.place} answers pings."),
            )
        case decide.Wait(why) | decide.GiveUp(_, why):
            return _down(why.reason, why.message)
        case decide.Register(server) if failure is None:
            return _down("Registering", f"Registering at {server.cn} ({server.region}).")
        case _:
            return None


def body(
    vpn: str,
    report: Report,
    *,
    before: Iterable[conditions.Condition],
    generation: int,
    now: datetime,
) -> dict[str, Any]:
    """Return what the gateway applies to `/status`: always the whole of its part.

    Args:
        vpn: name of the PiaVpn.
        report: what is so now.
        before: the conditions that the PiaVpn has.
        generation: the PiaVpn's generation that this is about.
        now: time of transition for what changed.
    """
    wanted = [
        dataclasses.replace(condition, observed_generation=generation)
        for condition in (report.registered, report.tunnel_up)
    ]
    status: dict[str, Any] = {
        "conditions": conditions.to_status(conditions.transitioned(before, wanted, now))
    }
    if report.session is not None:
        status["session"] = codec.encode(report.session)
    if report.candidates:
        status["candidateServers"] = codec.encode(report.candidates)
    return {"metadata": {"name": vpn}, "status": status}


def _down(reason: str, message: str) -> Report:
    return Report(None, _registered("False", reason, message), _tunnel_up("False", reason, message))


def _registered(status: str, reason: str, message: str) -> conditions.Condition:
    return conditions.Condition(
        conditions.PiaVpnCondition.REGISTERED, conditions.Status(status), reason, message
    )


def _tunnel_up(status: str, reason: str, message: str) -> conditions.Condition:
    return conditions.Condition(
        conditions.PiaVpnCondition.TUNNEL_UP, conditions.Status(status), reason, message
    )
