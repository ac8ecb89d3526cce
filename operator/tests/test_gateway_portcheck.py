"""When a forwarded port is tried from outside, and what is told of it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from gateway_objects import SESSION
from port_objects import BOUND, DICE, ELSEWHERE, NOW, PORT, START, WANTED, around, later

from piavpn.gateway import portreport
from piavpn.gateway.events import Event
from piavpn.gateway.portforward import Bind, Check, Decline, Memory, Rest, TryFromOutside, next_step
from piavpn.pia import errors


def test_a_bound_port_is_tried_from_outside_soon_and_then_each_hour() -> None:
    assert next_step(around(checkable=True), BOUND) == Rest()
    assert next_step(later(10, checkable=True), BOUND) == TryFromOutside(SESSION, 45678)
    assert next_step(later(10), BOUND) == Rest()
    reached = BOUND.checked(is_open=True, why="", clock=1010.0)
    rebound = reached.bound(PORT, later(900), DICE)
    assert next_step(later(3600, checkable=True), rebound.bound(PORT, later(3599), DICE)) == Rest()
    assert next_step(later(3610, checkable=True), rebound.bound(PORT, later(3599), DICE)) == (
        TryFromOutside(SESSION, 45678)
    )


ASKED = NOW - timedelta(seconds=2)


def test_a_bound_port_is_tried_at_once_when_somebody_asks_and_once() -> None:
    reached = BOUND.checked(is_open=True, why="", clock=1000.0)
    asked = around(checkable=True, asked=ASKED)
    assert next_step(asked, reached) == TryFromOutside(SESSION, 45678)
    answered = dataclasses.replace(reached, answered=ASKED)
    assert next_step(asked, answered) == Rest()
    again = around(checkable=True, asked=NOW)
    assert next_step(again, answered) == TryFromOutside(SESSION, 45678)


def test_a_request_of_more_than_an_hour_ago_is_none() -> None:
    asked = around(checkable=True, asked=NOW - timedelta(hours=1))
    assert next_step(asked, BOUND) == Rest()


@pytest.mark.parametrize(
    ("changes", "memory", "why"),
    [
        (
            {"wanted": False},
            BOUND,
            "no app receives a forwarded port: give one receiveForwardedPort: {}",
        ),
        (
            {"checkable": False},
            BOUND,
            "nobody can be asked: give spec.endpoints.portCheckURL, and an app that takes TCP",
        ),
        ({"session": None}, BOUND, "the port is not forwarded: see the condition PortForwarded"),
        (
            {},
            BOUND.not_bound(PORT, errors.Unreachable("no answer"), 1000.0, DICE),
            "the port is not forwarded: see the condition PortForwarded",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_answered_with_the_cause(
    changes: dict[str, Any], memory: Memory, why: str
) -> None:
    asked = around(**({"checkable": True, "asked": ASKED} | changes))
    step = next_step(asked, memory)
    assert step == Decline(why)
    assert portreport.answer(step, None) == Event(
        "Warning", "PortChecked", f"The port was not tried from outside: {why}."
    )


def test_what_is_due_comes_before_the_answer() -> None:
    asked = around(checkable=True, asked=ASKED)
    assert next_step(asked, START.signed(PORT)) == Bind(SESSION, PORT)


@pytest.mark.parametrize(
    ("found", "event"),
    [
        (True, Event("Normal", "PortChecked", "The port was reached from outside.")),
        (
            False,
            Event(
                "Warning",
                "PortChecked",
                "Nobody answers at the port from outside: see whether the app listens there.",
            ),
        ),
        (None, Event("Warning", "PortChecked", "it is away")),
    ],
)
def test_what_came_of_a_try_is_the_answer(found: bool | None, event: Event) -> None:  # noqa: FBT001
    step = TryFromOutside(SESSION, 45678)
    tried = BOUND.checked(is_open=found, why="it is away", clock=1010.0)
    report = portreport.of(tried, step, WANTED, checkable=True)
    assert portreport.answer(step, report) == event
    assert portreport.answer(Rest(), report) is None


@pytest.mark.parametrize("found", [False, None])
def test_a_port_that_was_not_reached_is_tried_again_soon(found: bool | None) -> None:  # noqa: FBT001
    shut = BOUND.checked(is_open=found, why="", clock=1010.0)
    assert next_step(later(19, checkable=True), shut) == Rest()
    assert next_step(later(20, checkable=True), shut) == TryFromOutside(SESSION, 45678)


def test_a_port_that_stays_shut_is_tried_ever_more_seldom_up_to_ten_minutes() -> None:
    shut, clock, waits = BOUND, 1010.0, []
    for _ in range(9):
        shut = shut.checked(is_open=False, why="", clock=clock)
        assert shut.check is not None
        waits.append(shut.check.due - clock)
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    reached = shut.checked(is_open=True, why="", clock=clock)
    shut_again = reached.checked(is_open=False, why="", clock=clock)
    assert shut_again.check == Check(clock + 10, is_open=False, misses=1)


def test_a_port_that_another_session_binds_is_tried_anew() -> None:
    reached = BOUND.checked(is_open=True, why="", clock=1010.0)
    moved = reached.at(ELSEWHERE).bound(PORT, later(20), DICE)
    assert next_step(later(30, session=ELSEWHERE, checkable=True), moved) == (
        TryFromOutside(ELSEWHERE, 45678)
    )


@pytest.mark.parametrize(
    ("memory", "status", "reason"),
    [
        (BOUND.checked(is_open=True, why="", clock=1010.0), "True", "Reached"),
        (BOUND.checked(is_open=False, why="", clock=1010.0), "False", "NotReached"),
        (BOUND.checked(is_open=None, why="it is away", clock=1010.0), "Unknown", "NotChecked"),
        (BOUND, "Unknown", "NotChecked"),
        (START.signed(PORT), "Unknown", "NotChecked"),
    ],
)
def test_what_was_found_from_outside_is_a_condition_of_its_own(
    memory: Memory, status: str, reason: str
) -> None:
    report = portreport.of(memory, Rest(), WANTED, checkable=True)
    assert report is not None
    assert report.is_open is not None
    assert (report.is_open.status, report.is_open.reason) == (status, reason)
    assert report.conditions == (report.condition, report.is_open)
