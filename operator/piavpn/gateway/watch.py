"""A second of watching the tunnels: a ping through each, and whether the old one is in use."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from pyroute2 import NetlinkError

from piavpn.gateway import decide, probe, tracked, tunnel
from piavpn.gateway.roles import Draining

PING_SECONDS = 1.0
"""A ping each second, which has that long to be answered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What was seen."""

    answered: frozenset[str]
    """Links by which a ping came back."""
    received: Mapping[str, int | None]
    """Bytes that each link has received; None where it does not tell."""
    busy: bool | None
    """Whether apps have connections on the draining session; None without one."""


def look(step: decide.Watch) -> Sight:
    """Watch for one second."""
    started = time.monotonic()
    sessions = [step.current.session]
    if step.draining is not None:
        sessions.append(step.draining.session)
    answered = probe.ping_each({one.link: one.server_vip for one in sessions}, timeout=PING_SECONDS)
    received = {one.link: tunnel.received(one) for one in sessions}
    busy = _is_busy(step.draining) if step.draining is not None else None
    time.sleep(max(0.0, started + PING_SECONDS - time.monotonic()))
    return Sight(answered, received, busy)


def _is_busy(draining: Draining) -> bool:
    """Tell whether an app uses it still; what cannot be seen counts as use."""
    session = draining.session
    try:
        return tracked.is_busy(session.slot, session.peer_address)
    except NetlinkError:
        return True
