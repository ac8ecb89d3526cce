"""Conditions: what they are called, and the pure rules by which they change.

Each condition type has one writer (server-side apply, one field manager a role): a forced and then
dropped entry wedges the other writer with 422, so `/status` is never forced and no type is shared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from piavpn.api import codec


class Status(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class PiaVpnCondition(StrEnum):
    """Condition types of a PiaVpn, with their writers."""

    READY = "Ready"  # operator: the sum of the others
    ACCEPTED = "Accepted"  # operator: spec and Secret can be used
    AUTHENTICATED = "Authenticated"  # operator: PIA gave a token
    SERVERS_KNOWN = "ServersKnown"  # operator: a verified list, and servers for the location
    GATEWAY_ATTACHED = "GatewayAttached"  # operator, as the node agent says of the gateway's pod
    REGISTERED = "Registered"  # gateway: a server knows our key
    TUNNEL_UP = "TunnelUp"  # gateway: packets come back through the tunnel
    PORT_FORWARDED = "PortForwarded"  # gateway: only while a service receives the forwarded port
    PORT_OPEN = "PortOpen"  # gateway: as PORT_FORWARDED, where somebody outside can be asked


class ServiceCondition(StrEnum):
    """Condition types of a VpnServiceContainer, with their writers."""

    READY = "Ready"  # operator: the sum of the others
    ACCEPTED = "Accepted"  # operator: spec can be used, an address is held
    CONFINED = "Confined"  # operator, as the node agent says of the pod: attached and locked
    LEAK_FREE = "LeakFree"  # operator, as the node agent says of the pod: nothing gets out
    PORT_PROPAGATED = "PortPropagated"  # operator: the receiver was told its port


class PodCondition(StrEnum):
    """Condition types of a confined pod, written by the agent of its node but for the first.

    The kubelet leaves conditions that are not its own as they are, and shows them.
    """

    ACCEPTED = "piavpn.dev/Accepted"  # operator, of a labelled pod: it may use the VPN
    CONFINED = "piavpn.dev/Confined"  # attached and locked
    GATE_PASSED = "piavpn.dev/GatePassed"  # of a service's pod: its gate lets the app start
    LEAK_FREE = "piavpn.dev/LeakFree"  # of a service's pod: nothing gets out but by the tunnel
    PORT_TOLD = "piavpn.dev/PortTold"  # of a service's pod with a hook: what its port hook says


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One entry of `status.conditions`."""

    type: str
    status: Status
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type; the list's order means nothing."""
    return next((item for item in conditions if item.type == kind), None)


def transitioned(
    before: Iterable[Condition], wanted: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Return `wanted` with transition times: kept where the status did not change, else `now`."""
    known = {item.type: item for item in before}
    return tuple(_with_time(known.get(item.type), item, now) for item in wanted)


def _with_time(old: Condition | None, new: Condition, now: datetime) -> Condition:
    unchanged = old is not None and old.status is new.status
    since = old.last_transition_time if old is not None and unchanged else None
    return dataclasses.replace(new, last_transition_time=since or now.replace(microsecond=0))


def to_status(conditions: Iterable[Condition]) -> list[dict[str, object]]:
    """Return the entries as the API wants them."""
    return [codec.encode(item) for item in conditions]
