"""When a session is renewed: in time, in the window, on request, and never all at once."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, time, timedelta

import pytest
from controller_decisions import ACCEPTED, false
from controller_samples import at, seen

from piavpn.api import gateway_config, piavpns
from piavpn.controller import decide, model, renewal

REGISTERED = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
SOON_AFTER = REGISTERED + timedelta(seconds=5)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MONTH = timedelta(days=30)
NIGHT = piavpns.RenewalWindow(time(3), time(5))


def tunnel(
    *,
    uid: str = "uid-of-home",
    interval: timedelta = MONTH,
    window: piavpns.RenewalWindow | None = None,
    requested: str | None = None,
) -> piavpns.PiaVpn:
    known = at("198.18.1.1", "home")
    assert known.status.session is not None
    session = dataclasses.replace(known.status.session, registered_time=REGISTERED)
    spec = piavpns.RenewalSpec(interval=interval, window=window)
    return dataclasses.replace(
        known,
        uid=uid,
        spec=dataclasses.replace(known.spec, renewal=spec),
        status=dataclasses.replace(known.status, session=session),
        renew_requested_at=requested,
    )


def due(
    vpn: piavpns.PiaVpn, now: datetime = SOON_AFTER, told: datetime | None = None, key: str = "key"
) -> datetime:
    before = gateway_config.Renewal(key, told) if told is not None else None
    found = renewal.decide(vpn, before, now)
    assert found is not None
    assert found.public_key == "key"
    assert found.time.microsecond == 0
    return found.time


def test_without_a_session_nothing_is_renewed() -> None:
    vpn = tunnel()
    status = dataclasses.replace(vpn.status, session=None)
    assert renewal.decide(dataclasses.replace(vpn, status=status), None, SOON_AFTER) is None


def test_a_session_is_renewed_after_the_interval_and_at_most_an_hour_later() -> None:
    times = {due(tunnel(uid=f"uid-{n}")) - REGISTERED - MONTH for n in range(50)}
    assert len(times) > 40, "not all at once"
    assert timedelta(0) <= min(times) < 20 * MINUTE
    assert 40 * MINUTE < max(times) <= HOUR


def test_a_short_interval_is_not_spread_by_more_than_its_tenth() -> None:
    times = {due(tunnel(uid=f"uid-{n}", interval=HOUR)) - REGISTERED for n in range(50)}
    assert HOUR <= min(times) < max(times) <= HOUR + 6 * MINUTE


def test_the_time_stays_the_same_from_pass_to_pass() -> None:
    first = due(tunnel())
    assert due(tunnel(), SOON_AFTER + 20 * HOUR, told=first) == first
    assert due(tunnel(), first, told=first) == first
    assert due(tunnel(), first + 5 * MINUTE, told=first) == first, "the gateway may be at it"


def test_a_missed_renewal_is_made_up_for_within_minutes_and_not_by_all_at_once() -> None:
    now = REGISTERED + 2 * MONTH
    times = {due(tunnel(uid=f"uid-{n}"), now) - now for n in range(50)}
    assert timedelta(0) <= min(times) < max(times) <= 10 * MINUTE
    assert len(times) > 40


def test_the_time_given_for_a_missed_renewal_stays() -> None:
    now = REGISTERED + 2 * MONTH
    first = due(tunnel(), now)
    assert due(tunnel(), now + MINUTE, told=first) == first
    assert due(tunnel(), now + HOUR, told=first) == first


def test_a_shorter_interval_acts_at_once() -> None:
    now = REGISTERED + timedelta(days=10)
    told = due(tunnel(), now)
    assert due(tunnel(interval=timedelta(days=7)), now, told=told) <= now + 10 * MINUTE


def test_what_was_told_of_another_session_does_not_count() -> None:
    now = REGISTERED + 2 * MONTH
    assert due(tunnel(), now, told=REGISTERED, key="the key before") >= now


# Windows


def test_a_renewal_is_made_in_the_first_window_after_the_interval() -> None:
    for n in range(20):
        found = due(tunnel(uid=f"uid-{n}", window=NIGHT))
        assert found.date() == (REGISTERED + MONTH + timedelta(days=1)).date()
        assert time(3) <= found.time() < time(5)


def test_a_window_is_of_its_time_zone_also_when_clocks_change() -> None:
    zurich = piavpns.RenewalWindow(time(3), time(4), "Europe/Zurich")
    assert due(tunnel(window=zurich)).hour == 2, "winter: an hour from UTC"
    summer = tunnel(window=zurich, interval=timedelta(days=180))
    assert due(summer).hour == 1


def test_a_window_over_midnight_is_one() -> None:
    over = piavpns.RenewalWindow(time(23), time(1))
    times = {due(tunnel(uid=f"uid-{n}", window=over)) for n in range(50)}
    opening = datetime(2026, 12, 1, 23, tzinfo=UTC)
    assert all(opening <= each < opening + 2 * HOUR for each in times)
    assert {each.day for each in times} == {1, 2}


def test_an_hour_that_does_not_exist_on_a_day_is_skipped_to_the_next() -> None:
    lost = piavpns.RenewalWindow(time(2, 0), time(3, 0), "Europe/Zurich")
    since = datetime(2027, 3, 27, 12, tzinfo=UTC) - REGISTERED
    found = due(tunnel(window=lost, interval=since))
    assert found.date() == datetime(2027, 3, 29, tzinfo=UTC).date()


def test_a_missed_renewal_waits_for_the_window() -> None:
    noon = REGISTERED + 2 * MONTH
    found = due(tunnel(window=NIGHT), noon)
    assert noon < found < noon + timedelta(days=1)
    assert time(3) <= found.time() < time(5)


def test_or_is_made_up_for_at_once_in_the_window_that_is_open() -> None:
    now = (REGISTERED + 2 * MONTH).replace(hour=4, minute=55)
    first = due(tunnel(window=NIGHT), now)
    assert now <= first < now.replace(hour=5, minute=0)
    assert due(tunnel(window=NIGHT), now + MINUTE, told=first) == first
    late = now + 2 * HOUR
    assert due(tunnel(window=NIGHT), late, told=first) > late, "the window has closed: the next"


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused_with_what_to_write(name: str) -> None:
    vpn = tunnel(window=piavpns.RenewalWindow(time(3), time(5), name))
    found = decide.decide(seen(vpn=vpn)).verdicts[ACCEPTED]
    assert found == false(
        "UnknownTimeZone",
        f"spec.renewal.window.timeZone: there is no time zone {name!r}: give a name of the IANA "
        "database, such as Europe/Zurich, or UTC",
    )


# Requests


def test_a_request_acts_at_once_also_outside_of_the_window() -> None:
    vpn = tunnel(window=NIGHT, requested="2026-11-10T14:00:00Z")
    asked = datetime(2026, 11, 10, 14, tzinfo=UTC)
    assert due(vpn, asked + MINUTE) == asked


def test_it_acts_once() -> None:
    vpn = tunnel(requested="2026-11-01T12:00:00+00:00")
    assert due(vpn) == due(tunnel())


def test_a_request_for_later_is_kept_for_then() -> None:
    vpn = tunnel(requested="2026-11-10T15:00:00+01:00")
    assert due(vpn) == datetime(2026, 11, 10, 14, tzinfo=UTC)
    late = tunnel(requested="2028-01-01T00:00:00Z")
    assert due(late) == due(tunnel())


@pytest.mark.parametrize("text", ["now", "", "2026-11-10", "2026-11-10T14:00:00"])
def test_a_request_that_is_no_time_is_told_of_and_changes_nothing(text: str) -> None:
    vpn = tunnel(requested=text)
    assert due(vpn) == due(tunnel())
    assert renewal.notices(vpn) == (
        model.Notice(
            "Warning",
            "RenewalRequestInvalid",
            f"{text!r} in annotation piavpn.dev/renew-requested-at is no time with a zone, such "
            "as 2026-11-23T12:00:00Z: no renewal was requested",
        ),
    )


def test_a_request_is_answered_with_the_time_of_the_renewal() -> None:
    assert renewal.notices(tunnel(requested="2026-11-10T14:00:00Z")) == (
        model.Notice(
            "Normal",
            "RenewalRequested",
            "the session at zurich is renewed at 2026-11-10T14:00:00Z, on request",
        ),
    )
    assert renewal.notices(tunnel(requested="2026-11-01T12:00:00Z")) == ()
    assert renewal.notices(tunnel()) == ()


def test_the_gateway_is_told_of_the_renewal_and_of_the_grace_period() -> None:
    vpn = tunnel()
    spec = dataclasses.replace(vpn.spec.renewal, grace_period=timedelta(minutes=30))
    vpn = dataclasses.replace(vpn, spec=dataclasses.replace(vpn.spec, renewal=spec))
    found = decide.decide(seen(vpn=vpn)).gateway
    assert found is not None
    assert found.renewal is not None
    assert (found.renewal.public_key, found.grace_seconds) == ("key", 1800)
