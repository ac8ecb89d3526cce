"""Whether a living tunnel is to go to another server, why, and to which. Pure.

Locations are in the order of preference; an empty list is indifferent (`auto`).
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Sequence
from datetime import datetime

from piavpn.api.gateway_config import CUSTOM_REGION, GatewayConfig, Server
from piavpn.gateway.portless import Portless
from piavpn.gateway.session import Session

_MOST_DOUBLINGS = 5
_NONE_PORTLESS = Portless()


class Purpose(enum.StrEnum):
    """Why a living tunnel moves."""

    LOCATION_CHANGE = "LocationChange"
    """It is in none of the locations, or at none of the servers, asked for now."""
    RENEWAL = "Renewal"
    """Its time has come."""
    RETURN = "Return"
    """It is in a fallback location, and the preferred one may work again."""
    PORT_FORWARDING = "PortForwarding"
    """Its server does not forward the port that an app wants."""


@dataclasses.dataclass(frozen=True, slots=True)
class Returning:
    """How the way back from a fallback location goes: each time that it fails, it waits longer."""

    since: float = 0.0
    """The present session's beginning or the last try's end, in seconds of the monotonic clock."""
    failures: int = 0

    def due(self, after_seconds: float) -> float:
        """Return when to try it; the first time `after_seconds` after `since`."""
        doublings = min(self.failures, _MOST_DOUBLINGS)
        return self.since + after_seconds * float(2**doublings)


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """A move that is due, and the servers that it may go to: at least one."""

    purpose: Purpose
    targets: tuple[Server, ...]


def due(  # noqa: PLR0913 - what a move depends on
    session: Session,
    config: GatewayConfig,
    returning: Returning,
    portless: Portless = _NONE_PORTLESS,
    *,
    now: float,
    time: datetime,
) -> Move | None:
    """Return the move that is due; None where the tunnel is best left alone.

    Args:
        session: the present one, which lives.
        config: what the operator wants.
        returning: how earlier returns went.
        portless: the servers that do not forward the port.
        now: seconds of the monotonic clock.
        time: what the wall clock says, by which renewals are appointed.
    """
    others = tuple(one for one in config.servers if one.address != session.address)
    wanted = tuple(one for one in others if _is_fit(one.region, config))
    if wanted and not _is_wanted(session, config):
        return Move(Purpose.LOCATION_CHANGE, wanted)
    useful = tuple(one for one in others if not _lacks_port(one.address, config, portless, now))
    renewal = config.renewal
    if renewal is not None and renewal.public_key == session.public_key and renewal.time <= time:
        targets = _renewal_targets(session, config, useful or others)
        return Move(Purpose.RENEWAL, targets) if targets else None
    if targets := _port_targets(session, config, useful, portless, now):
        return Move(Purpose.PORT_FORWARDING, targets)
    better = tuple(one for one in useful if _rank(one.region, config) < _rank_of(session, config))
    if better and returning.due(config.return_seconds) <= now:
        return Move(Purpose.RETURN, better)
    return None


def _is_wanted(session: Session, config: GatewayConfig) -> bool:
    """Tell whether the session is where it is to be.

    A server that was named itself is left when it is named no more. PIA's list is a sample, which
    says nothing of the servers that it leaves out.
    """
    if not _is_fit(session.region, config):
        return False
    named = config.dedicated_ip or session.region == CUSTOM_REGION
    return not named or any(one.address == session.address for one in config.servers)


def _is_fit(region: str, config: GatewayConfig) -> bool:
    is_location = not config.locations or region in config.locations
    return is_location and region not in config.avoided


def _lacks_port(
    address: ipaddress.IPv4Address, config: GatewayConfig, portless: Portless, now: float
) -> bool:
    return config.port_forwarding is not None and portless.has(address, now)


def _port_targets(
    session: Session,
    config: GatewayConfig,
    others: Sequence[Server],
    portless: Portless,
    now: float,
) -> tuple[Server, ...]:
    """Return where the port may be forwarded; none while the session is best left where it is."""
    lacks = _lacks_port(session.address, config, portless, now)
    if not lacks or session.region in config.without_port or now < portless.next_move:
        return ()
    fit = tuple(one for one in others if _is_fit(one.region, config))
    useful = tuple(one for one in fit if one.region not in config.without_port)
    as_good = tuple(s for s in useful if _rank(s.region, config) <= _rank_of(session, config))
    return as_good or useful


def _renewal_targets(
    session: Session, config: GatewayConfig, others: Sequence[Server]
) -> tuple[Server, ...]:
    """Return where the next session may be: no worse a location, else any, else where it is."""
    as_good = tuple(s for s in others if _rank(s.region, config) <= _rank_of(session, config))
    same = tuple(one for one in config.servers if one.address == session.address)
    return as_good or tuple(others) or same


def _rank_of(session: Session, config: GatewayConfig) -> int:
    return _rank(session.region, config)


def _rank(region: str, config: GatewayConfig) -> int:
    """Return the region's place among the locations; the unknown ones come last."""
    locations = config.locations
    return locations.index(region) if region in locations else len(locations)
