"""When the gateway asks PIA for a port, and when it binds it."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_objects import SESSION

from piavpn.api import piavpns
from piavpn.api.conditions import Condition, Status
from piavpn.api.gateway_config import PortForwarding
from piavpn.api.protocols import ForwardedProtocol, Protocol
from piavpn.gateway import forwarded, portreport
from piavpn.gateway.events import Event
from piavpn.gateway.forwarded import Way
from piavpn.gateway.memory import Failure
from piavpn.gateway.portforward import (
    Around,
    Bind,
    Check,
    Decline,
    Memory,
    Off,
    Rest,
    Sign,
    Step,
    TryFromOutside,
    Wait,
    forwards,
    next_step,
)
from piavpn.pia import errors
from piavpn.pia.portforward import SignedPort

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
APP = ipaddress.IPv4Address("10.100.0.10")
PORT = SignedPort("payload", "signature", 45678, NOW + 62 * DAY)
OTHER = SignedPort("other payload", "other signature", 23456, NOW + 62 * DAY)
ELSEWHERE = dataclasses.replace(SESSION, cn="zurich402", public_key="another key")
AROUND = Around(wanted=True, session=SESSION, token="token", checkable=False, now=NOW, clock=1000.0)
DICE = random.Random(1)
START = Memory().at(SESSION)
BOUND = START.signed(PORT).bound(PORT, AROUND, DICE)
WANTED = PortForwarding(APP)


def around(**changes: Any) -> Around:
    return dataclasses.replace(AROUND, **changes)


def later(seconds: float, **changes: Any) -> Around:
    moment = NOW + timedelta(seconds=seconds)
    return around(**({"now": moment, "clock": 1000.0 + seconds} | changes))


def reported(memory: Memory, step: Step | None = None) -> tuple[str, str]:
    report = portreport.of(memory, step or Rest(), WANTED)
    assert report is not None
    return report.condition.status, report.condition.reason


def test_no_port_is_asked_for_while_no_app_wants_one() -> None:
    assert next_step(around(wanted=False), START) == Off()
    assert next_step(around(wanted=False), BOUND) == Off()


def test_a_port_is_signed_and_then_bound_at_the_sessions_server() -> None:
    assert next_step(AROUND, START) == Sign(SESSION, "token")
    assert next_step(AROUND, START.signed(PORT)) == Bind(SESSION, PORT)
    assert next_step(AROUND, BOUND) == Rest()


def test_a_kept_port_is_bound_again_and_none_is_signed() -> None:
    assert next_step(AROUND, Memory(held=PORT).at(SESSION)) == Bind(SESSION, PORT)


def test_a_binding_is_renewed_within_fifteen_minutes() -> None:
    assert next_step(later(13 * 60), BOUND) == Rest()
    assert next_step(later(15 * 60), BOUND) == Bind(SESSION, PORT)


def test_another_session_binds_the_same_port_at_once() -> None:
    assert next_step(around(session=ELSEWHERE), BOUND.at(ELSEWHERE)) == Bind(ELSEWHERE, PORT)


def test_without_a_tunnel_nothing_is_asked_and_the_port_is_kept() -> None:
    step = next_step(around(session=None), BOUND)
    assert step == Wait(Failure("NoTunnel", "The tunnel is down: see the condition TunnelUp."))
    assert reported(BOUND, step) == ("False", "NoTunnel")
    assert next_step(AROUND, BOUND) == Rest()


def test_without_a_token_a_kept_port_is_bound_and_a_new_one_waited_for() -> None:
    without = around(token=None)
    assert next_step(without, Memory(held=PORT).at(SESSION)) == Bind(SESSION, PORT)
    step = next_step(without, START)
    assert isinstance(step, Wait)
    assert step.why.reason == "WaitingForToken"


def test_a_new_port_is_signed_when_less_than_a_week_is_left_and_the_old_one_kept_until_then() -> (
    None
):
    assert next_step(later(54 * 86400), BOUND) == Bind(SESSION, PORT)
    near = later(56 * 86400)
    assert next_step(near, BOUND) == Sign(SESSION, "token")
    failed = BOUND.not_signed(errors.Unreachable("no answer"), near.clock, DICE)
    assert next_step(near, failed) == Bind(SESSION, PORT)
    rebound = failed.bound(PORT, near, DICE)
    assert next_step(near, rebound) == Rest()
    assert reported(rebound) == ("True", "Bound")
    renewed = rebound.signed(OTHER)
    assert next_step(near, renewed) == Bind(SESSION, OTHER)
    assert renewed.held == PORT
    assert renewed.bound(OTHER, near, DICE).held == OTHER


def test_a_port_whose_signature_has_ended_is_gone() -> None:
    ended = later(63 * 86400)
    assert next_step(ended, BOUND.aged(ended.now)) == Sign(SESSION, "token")
    assert BOUND.aged(ended.now).held is None
    assert BOUND.aged(NOW) == BOUND


@pytest.mark.parametrize("error", [errors.PortBusy("busy"), errors.SignatureRejected("expired")])
def test_a_refused_port_is_replaced_at_once_and_a_second_refusal_waited_out(
    error: errors.PiaError,
) -> None:
    refused = Memory(held=PORT).at(SESSION).not_bound(PORT, error, AROUND.clock, DICE)
    assert next_step(AROUND, refused) == Sign(SESSION, "token")
    assert reported(refused) == ("False", error.reason)
    again = refused.signed(OTHER).not_bound(OTHER, error, AROUND.clock, DICE)
    assert next_step(AROUND, again) == Rest()
    assert next_step(later(5), again) == Sign(SESSION, "token")
    assert again.signed(OTHER).bound(OTHER, AROUND, DICE).held == OTHER


@pytest.mark.parametrize(
    "error",
    [
        errors.Unauthorized("from outside"),
        errors.PortForwardingNotOffered("refused"),
        errors.Unreachable("no answer"),
        errors.BadCertificate("another's"),
        errors.BadResponse("nonsense"),
    ],
)
def test_other_trouble_keeps_the_port_and_is_tried_again_for_ever(error: errors.PiaError) -> None:
    memory = BOUND
    clock = AROUND.clock
    waits = []
    for _ in range(30):
        memory = memory.not_bound(PORT, error, clock, DICE)
        assert reported(memory) == ("False", error.reason)
        waits.append(memory.bind.at - clock)
        clock = memory.bind.at
        assert next_step(around(clock=clock - 0.01), memory) == Rest()
        assert next_step(around(clock=clock), memory) == Bind(SESSION, PORT)
    assert 0.5 <= waits[0] <= 1.0
    assert 150.0 <= waits[-1] <= 300.0


def test_what_failed_at_one_server_is_tried_at_the_next_at_once() -> None:
    failed = BOUND.not_bound(PORT, errors.Unreachable("no answer"), AROUND.clock, DICE)
    assert next_step(AROUND, failed) == Rest()
    assert next_step(around(session=ELSEWHERE), failed.at(ELSEWHERE)) == Bind(ELSEWHERE, PORT)


def test_a_server_that_refuses_three_new_ports_in_a_row_forwards_none() -> None:
    memory = Memory(held=PORT).at(SESSION)
    for port in (PORT, OTHER, OTHER):
        memory = memory.not_bound(port, errors.PortBusy("busy"), AROUND.clock, DICE).signed(OTHER)
        assert forwards(memory, AROUND.clock) is None
    memory = memory.not_bound(OTHER, errors.PortBusy("busy"), AROUND.clock, DICE)
    assert forwards(memory, AROUND.clock) is False
    assert forwards(memory.at(ELSEWHERE), AROUND.clock) is None
    assert forwards(memory.signed(OTHER).bound(OTHER, AROUND, DICE), AROUND.clock) is True


@pytest.mark.parametrize("error", [errors.Unreachable("none"), errors.PortForwardingNotOffered("")])
def test_one_that_has_not_answered_for_five_minutes_forwards_none(error: errors.PiaError) -> None:
    memory = BOUND
    for second in range(5):
        memory = memory.not_bound(PORT, error, AROUND.clock + second, DICE)
    assert forwards(memory, AROUND.clock + 299) is None
    assert forwards(memory, AROUND.clock + 300) is False
    once = BOUND.not_bound(PORT, error, AROUND.clock, DICE)
    assert forwards(once, AROUND.clock + 300) is None


def test_a_rejected_token_is_no_servers_fault() -> None:
    memory = START
    for _ in range(9):
        memory = memory.not_signed(errors.TokenRejected("no"), AROUND.clock, DICE)
    assert forwards(memory, AROUND.clock + 3600) is None


def test_a_server_that_is_left_for_the_port_is_told() -> None:
    refused = BOUND.not_bound(PORT, errors.PortBusy("port 45678 is busy"), AROUND.clock, DICE)
    report = portreport.of(refused, Rest(), WANTED, moves_on=True)
    assert report is not None
    assert report.condition.reason == "PortBusy"
    assert report.condition.message == (
        "port 45678 is busy; the tunnel goes on at another server, where the list has one that was "
        "not left for that today"
    )


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


def test_the_report_of_a_bound_port() -> None:
    assert portreport.of(BOUND, Rest(), WANTED) == portreport.PortReport(
        piavpns.ForwardedPort(45678, NOW + 62 * DAY, NOW),
        Condition(
            "PortForwarded",
            Status.TRUE,
            "Bound",
            "Port 45678 (TCP and UDP) goes to 10.100.0.10:45678.",
        ),
    )


def test_a_port_is_not_told_before_it_was_bound() -> None:
    report = portreport.of(START.signed(PORT), Rest(), WANTED)
    assert report is not None
    assert report.forwarded_port is None
    assert (report.condition.status, report.condition.reason) == ("False", "Binding")


def test_a_bound_port_that_ends_soon_says_why_there_is_no_new_one() -> None:
    failed = BOUND.not_signed(errors.Unreachable("PIA is silent"), AROUND.clock, DICE)
    report = portreport.of(failed, Rest(), WANTED)
    assert report is not None
    assert report.condition.message == (
        "Port 45678 (TCP and UDP) goes to 10.100.0.10:45678. "
        "PIA gives no new one before it ends at 2027-01-24T12:00:00Z: PIA is silent"
    )


def test_nothing_is_reported_while_no_app_wants_a_port() -> None:
    assert portreport.of(BOUND, Off(), None) is None


def test_a_port_goes_to_the_same_number_of_the_receiver() -> None:
    assert forwarded.ways(PortForwarding(APP), [45678]) == {
        Way(Protocol.TCP, 45678, APP, 45678),
        Way(Protocol.UDP, 45678, APP, 45678),
    }


def test_or_to_a_fixed_one_by_one_protocol() -> None:
    wanted = PortForwarding(APP, ForwardedProtocol.UDP, 6881)
    assert forwarded.ways(wanted, [45678]) == {Way(Protocol.UDP, 45678, APP, 6881)}


def test_no_receiver_has_no_ways() -> None:
    assert forwarded.ways(None, [45678]) == frozenset()


def test_the_map_is_replaced_in_one_transaction() -> None:
    wanted = forwarded.ways(PortForwarding(APP, port=6881), [45678, 23456])
    assert forwarded.update(wanted, {ipaddress.IPv4Address("198.18.11.1")}) == (
        "flush map inet piavpn forwarded\n"
        "flush set inet piavpn exits\n"
        "add element inet piavpn exits { 198.18.11.1 }\n"
        "add element inet piavpn forwarded { tcp . 23456 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { udp . 23456 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { tcp . 45678 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { udp . 45678 : 10.100.0.10 . 6881 }\n"
    )
