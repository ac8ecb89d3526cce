"""Conditions change their time with their status, and with nothing else."""

import dataclasses
from datetime import UTC, datetime

from piavpn.api import conditions

EARLIER = datetime(2026, 11, 23, 4, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 5, 0, 0, 123_456, tzinfo=UTC)
NOW_IN_SECONDS = datetime(2026, 11, 23, 5, 0, 0, tzinfo=UTC)

UP = conditions.Condition("TunnelUp", conditions.Status.TRUE, "Answers", "", 1, EARLIER)
DOWN = conditions.Condition("TunnelUp", conditions.Status.FALSE, "Silent", "no answer", 2)


def test_a_new_condition_begins_now() -> None:
    (written,) = conditions.transitioned((), (DOWN,), NOW)
    assert written == dataclasses.replace(DOWN, last_transition_time=NOW_IN_SECONDS)


def test_a_condition_whose_status_changes_begins_anew() -> None:
    (written,) = conditions.transitioned((UP,), (DOWN,), NOW)
    assert written == dataclasses.replace(DOWN, last_transition_time=NOW_IN_SECONDS)


def test_a_condition_that_keeps_its_status_keeps_its_time_though_the_reason_changes() -> None:
    wanted = conditions.Condition("TunnelUp", conditions.Status.TRUE, "AnswersAgain", "", 2)
    (written,) = conditions.transitioned((UP,), (wanted,), NOW)
    assert written == dataclasses.replace(wanted, last_transition_time=EARLIER)


def test_a_condition_that_lost_its_time_gets_one() -> None:
    without_time = dataclasses.replace(UP, last_transition_time=None)
    (written,) = conditions.transitioned((without_time,), (without_time,), NOW)
    assert written.last_transition_time == NOW_IN_SECONDS


def test_conditions_that_another_writer_owns_are_not_taken_over() -> None:
    ready = conditions.Condition("Ready", conditions.Status.TRUE, "Ready", "", 1, EARLIER)
    written = conditions.transitioned((ready, UP), (UP,), NOW)
    assert [condition.type for condition in written] == ["TunnelUp"]


def test_a_condition_is_found_by_its_type_wherever_it_stands() -> None:
    ready = conditions.Condition("Ready", conditions.Status.FALSE, "NotYet")
    assert conditions.find((ready, UP), "TunnelUp") is UP
    assert conditions.find((UP, ready), "TunnelUp") is UP
    assert conditions.find((ready,), "TunnelUp") is None


def test_a_condition_is_written_as_the_api_has_it() -> None:
    assert conditions.to_status((UP,)) == [
        {
            "type": "TunnelUp",
            "status": "True",
            "reason": "Answers",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-23T04:00:00Z",
        }
    ]
