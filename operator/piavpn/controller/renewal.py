"""When a session is to be replaced by a new one, before the old one is given up. Pure.

The answer is written where the gateway finds it as soon as there is a session, so that it is obeyed
with the operator and the API server away.
"""

from __future__ import annotations

import hashlib
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from piavpn.api import codec, gateway_config, piavpns, requests
from piavpn.api.conditions import Status
from piavpn.controller import model
from piavpn.controller.reasons import Reason

_LONGEST_SPREAD = timedelta(hours=1)
"""By how much renewals without a window are spread at most: a tenth of the interval, or this."""
_MADE_UP_WITHIN = timedelta(minutes=10)
"""How soon after it is found that a renewal was missed it is made up for."""
_DAY = timedelta(days=1)


def decide(
    vpn: piavpns.PiaVpn, before: gateway_config.Renewal | None, now: datetime
) -> gateway_config.Renewal | None:
    """Return the renewal of the session that is there; None without one.

    Args:
        vpn: the tunnel, with a time zone that `problem` knows.
        before: what the gateway is told now: a time that was given for a missed renewal stays.
        now: the time of the pass.
    """
    session = vpn.status.session
    if session is None:
        return None
    told = before.time if before and before.public_key == session.public_key else None
    due = _scheduled(vpn, session.registered_time, told, now)
    wish = requested(vpn)
    if wish is not None and wish > session.registered_time:
        due = min(due, wish)
    return gateway_config.Renewal(session.public_key, due.replace(microsecond=0))


def requested(vpn: piavpns.PiaVpn) -> datetime | None:
    """Return the time at which a renewal was asked for; None where none was, or no time."""
    return requests.asked_at(vpn.renew_requested_at)


def notices(vpn: piavpns.PiaVpn) -> tuple[model.Notice, ...]:
    """Return what to tell of a request for a renewal, once."""
    session, asked = vpn.status.session, requested(vpn)
    if vpn.renew_requested_at is not None and asked is None:
        message = (
            f"{vpn.renew_requested_at[:64]!r} in annotation piavpn.dev/renew-requested-at is no "
            "time with a zone, such as 2026-11-23T12:00:00Z: no renewal was requested"
        )
        return (model.Notice("Warning", "RenewalRequestInvalid", message),)
    if asked is None or session is None or asked <= session.registered_time:
        return ()
    message = (
        f"the session at {session.server} is renewed at {codec.format_time(asked)}, on request"
    )
    return (model.Notice("Normal", "RenewalRequested", message),)


def problem(spec: piavpns.RenewalSpec) -> model.Verdict | None:
    """Return why `spec` cannot be obeyed; None where it can."""
    if spec.window is None or _zone(spec.window.time_zone) is not None:
        return None
    return model.Verdict(
        Status.FALSE,
        Reason.UNKNOWN_TIME_ZONE,
        f"spec.renewal.window.timeZone: there is no time zone {spec.window.time_zone!r}: give a "
        "name of the IANA database, such as Europe/Zurich, or UTC",
    )


def _scheduled(
    vpn: piavpns.PiaVpn, since: datetime, told: datetime | None, now: datetime
) -> datetime:
    spec, place = vpn.spec.renewal, _place(vpn.uid)
    end = since + spec.interval
    if spec.window is None:
        due = end + place * min(spec.interval / 10, _LONGEST_SPREAD)
        if due >= now:
            return due
        if told is not None and told <= now + _MADE_UP_WITHIN:
            return told
        return now + place * _MADE_UP_WITHIN
    return _in_window(spec.window, place, end, told, now)


def _in_window(
    window: piavpns.RenewalWindow,
    place: float,
    end: datetime,
    told: datetime | None,
    now: datetime,
) -> datetime:
    if end >= now:
        return _next(window, place, end)
    for opening, closing in _windows(window, now):
        if opening <= now < closing:
            if told is not None and opening <= told < closing:
                return told
            return now + place * min(_MADE_UP_WITHIN, closing - now)
    return _next(window, place, now)


def _next(window: piavpns.RenewalWindow, place: float, since: datetime) -> datetime:
    """Return the first time of this tunnel in a window that is not before `since`."""
    times = (opening + place * (closing - opening) for opening, closing in _windows(window, since))
    return next((time for time in times if time >= since), since)


def _windows(
    window: piavpns.RenewalWindow, around: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield openings and closings from the day before `around` on, in order.

    A window that the change to daylight saving time leaves empty does not occur on that day.
    """
    zone = _zone(window.time_zone) or UTC
    first = around.astimezone(zone).date() - _DAY
    for day in (first + number * _DAY for number in range(4)):
        last = day if window.end > window.start else day + _DAY
        opening = datetime.combine(day, window.start, zone).astimezone(UTC)
        closing = datetime.combine(last, window.end, zone).astimezone(UTC)
        if opening < closing:
            yield opening, closing


def _zone(name: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; no name of one; a directory of them
        return None


def _place(uid: str) -> float:
    """Return this tunnel's own place between 0 and 1: not all are renewed at once."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") / 2**32
