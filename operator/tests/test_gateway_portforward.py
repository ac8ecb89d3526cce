"""When the gateway asks PIA for a port, and when it binds it."""

from __future__ import annotations

import dataclasses

import pytest
from gateway_objects import SESSION
from port_objects import (
    AROUND,
    BOUND,
    DAY,
    DICE,
    ELSEWHERE,
    NOW,
    PORT,
    START,
    WANTED,
    around,
    later,
)

from piavpn.api import piavpns
from piavpn.api.conditions import Condition, Status
from piavpn.gateway import portreport
from piavpn.gateway.memory import Failure
from piavpn.gateway.portforward import (
    Bind,
    Memory,
    Off,
    Rest,
    Sign,
    Step,
    Wait,
    forwards,
    next_step,
)
from piavpn.pia import errors
from piavpn.pia.portforward import SignedPort

OTHER = SignedPort("other payload", "other signature", 23456, NOW + 62 * DAY)


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


def test_the_report_of_a_bound_port_names_who_receives_it() -> None:
    wanted = dataclasses.replace(WANTED, receiver="pod office/crawler-x")
    report = portreport.of(BOUND, Rest(), wanted)
    assert report is not None
    assert report.forwarded_port is not None
    assert report.forwarded_port.receiver == "pod office/crawler-x"


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
