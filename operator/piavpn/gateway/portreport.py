"""What the gateway tells of the forwarded port. Pure."""

from __future__ import annotations

import dataclasses

from piavpn.api import codec, conditions, types
from piavpn.api.gateway_config import PortForwarding
from piavpn.gateway import portforward
from piavpn.gateway.memory import Failure
from piavpn.gateway.reasons import Reason
from piavpn.pia.portforward import SignedPort


@dataclasses.dataclass(frozen=True, slots=True)
class PortReport:
    """The port's part of a PiaVpn's status, but for the condition's time and generation."""

    forwarded_port: types.ForwardedPort | None
    condition: conditions.Condition


def of(
    memory: portforward.Memory, step: portforward.Step, wanted: PortForwarding | None
) -> PortReport | None:
    """Return what to report after a step; None while no app wants a port.

    Args:
        memory: as the step left it.
        step: what was done last.
        wanted: the receiver.
    """
    if wanted is None or isinstance(step, portforward.Off):
        return None
    port = _told(memory)
    if isinstance(step, portforward.Wait):
        return PortReport(port, _condition(conditions.Status.FALSE, step.why))
    if memory.held is not None and memory.bound_by and memory.bound_by == memory.session:
        return PortReport(port, _bound(memory, memory.held, wanted))
    if memory.failure is not None:
        return PortReport(port, _condition(conditions.Status.FALSE, memory.failure))
    binding = Failure(Reason.BINDING, "PIA is asked to forward a port.")
    return PortReport(port, _condition(conditions.Status.FALSE, binding))


def _told(memory: portforward.Memory) -> types.ForwardedPort | None:
    """Return the port that the receiver hears of: never one that was not bound before."""
    held = memory.held
    if held is None:
        return None
    expires_at = held.expires_at.replace(microsecond=0)
    return types.ForwardedPort(held.port, expires_at, memory.bound_at)


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


def _condition(status: conditions.Status, why: Failure) -> conditions.Condition:
    kind = conditions.PiaVpnCondition.PORT_FORWARDED
    return conditions.Condition(kind, status, why.reason, why.message)
