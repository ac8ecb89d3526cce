"""What the gateway tells of the forwarded port. Pure."""

from __future__ import annotations

import dataclasses

from piavpn.api import codec, conditions, piavpns
from piavpn.api.gateway_config import PortForwarding
from piavpn.gateway import portforward
from piavpn.gateway.events import Event
from piavpn.gateway.memory import Failure
from piavpn.gateway.reasons import Reason
from piavpn.pia.portforward import SignedPort


@dataclasses.dataclass(frozen=True, slots=True)
class PortReport:
    """The port's part of a PiaVpn's status, but for the condition's time and generation."""

    forwarded_port: piavpns.ForwardedPort | None
    condition: conditions.Condition
    is_open: conditions.Condition | None = None
    """None where nobody outside can be asked."""

    @property
    def conditions(self) -> tuple[conditions.Condition, ...]:
        """All that is told."""
        return (self.condition,) if self.is_open is None else (self.condition, self.is_open)


def of(
    memory: portforward.Memory,
    step: portforward.Step,
    wanted: PortForwarding | None,
    *,
    checkable: bool = False,
    moves_on: bool = False,
) -> PortReport | None:
    """Return what to report after a step; None while no app wants a port.

    Args:
        memory: as the step left it.
        step: what was done last.
        wanted: the receiver.
        checkable: whether somebody outside can be asked to try the port.
        moves_on: whether the tunnel is to go to another server for the port's sake.
    """
    report = _of(memory, step, wanted, moves_on=moves_on)
    if report is None or not checkable:
        return report
    return dataclasses.replace(report, is_open=_open(memory, report))


def answer(step: portforward.Step, report: PortReport | None) -> Event | None:
    """Return what whoever asked for a try from outside is told after this step; None: nothing yet.

    Args:
        step: what was done last.
        report: what is told of it.
    """
    if isinstance(step, portforward.Decline):
        message = f"The port was not tried from outside: {step.why}."
        return Event("Warning", "PortChecked", message)
    if not isinstance(step, portforward.TryFromOutside) or report is None or report.is_open is None:
        return None
    found = report.is_open
    is_open = found.status is conditions.Status.TRUE
    return Event("Normal" if is_open else "Warning", "PortChecked", found.message)


def _of(
    memory: portforward.Memory,
    step: portforward.Step,
    wanted: PortForwarding | None,
    *,
    moves_on: bool,
) -> PortReport | None:
    if wanted is None or isinstance(step, portforward.Off):
        return None
    port = _told(memory, wanted)
    if isinstance(step, portforward.Wait):
        return PortReport(port, _condition(conditions.Status.FALSE, step.why))
    if memory.held is not None and memory.bound_by and memory.bound_by == memory.session:
        return PortReport(port, _bound(memory, memory.held, wanted))
    if memory.failure is not None:
        why = _moving_on(memory.failure) if moves_on else memory.failure
        return PortReport(port, _condition(conditions.Status.FALSE, why))
    binding = Failure(Reason.BINDING, "PIA is asked to forward a port.")
    return PortReport(port, _condition(conditions.Status.FALSE, binding))


def _moving_on(why: Failure) -> Failure:
    return Failure(
        why.reason,
        f"{why.message}; the tunnel goes on at another server, where the list has one that "
        "was not left for that today",
    )


def _told(memory: portforward.Memory, wanted: PortForwarding) -> piavpns.ForwardedPort | None:
    """Return the port that the receiver hears of: never one that was not bound before."""
    held = memory.held
    if held is None:
        return None
    expires_at = held.expires_at.replace(microsecond=0)
    return piavpns.ForwardedPort(held.port, expires_at, memory.bound_at, wanted.receiver or None)


def _bound(
    memory: portforward.Memory, held: SignedPort, wanted: PortForwarding
) -> conditions.Condition:
    protocols = " and ".join(wanted.protocol.protocols)
    target = f"{wanted.address}:{wanted.port or held.port}"
    message = f"Port {held.port} ({protocols}) goes to {target}."
    if memory.failure is not None:
        expiry = codec.format_time(held.expires_at)
        message += f" PIA gives no new one before it ends at {expiry}: {memory.failure.message}"
    return _condition(conditions.Status.TRUE, Failure(Reason.BOUND, message))


def _open(memory: portforward.Memory, report: PortReport) -> conditions.Condition:
    check = memory.check
    is_bound = report.condition.status is conditions.Status.TRUE
    if not is_bound or check is None or check.is_open is None:
        why = check.why if is_bound and check is not None else "the port is not forwarded"
        message = why or "the port was not tried from outside yet"
        return _open_condition(conditions.Status.UNKNOWN, Reason.NOT_CHECKED, message)
    if check.is_open:
        return _open_condition(
            conditions.Status.TRUE, Reason.REACHED, "The port was reached from outside."
        )
    message = "Nobody answers at the port from outside: see whether the app listens there."
    return _open_condition(conditions.Status.FALSE, Reason.NOT_REACHED, message)


def _open_condition(
    status: conditions.Status, reason: Reason, message: str
) -> conditions.Condition:
    return conditions.Condition(conditions.PiaVpnCondition.PORT_OPEN, status, reason, message)


def _condition(status: conditions.Status, why: Failure) -> conditions.Condition:
    kind = conditions.PiaVpnCondition.PORT_FORWARDED
    return conditions.Condition(kind, status, why.reason, why.message)
