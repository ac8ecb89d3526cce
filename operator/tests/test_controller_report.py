"""Conditions as they are written: complete, and with times that tell when a status changed."""

from __future__ import annotations

from datetime import timedelta

from controller_samples import EARLIER, NOW

from piavpn.api import conditions
from piavpn.api.conditions import Condition, PiaVpnCondition, Status
from piavpn.controller import model, report

ACCEPTED = model.Verdict(Status.TRUE, "Accepted")
DOWN = model.Verdict(Status.FALSE, "TunnelDown", "no packets")
VERDICTS = {PiaVpnCondition.ACCEPTED: ACCEPTED, PiaVpnCondition.READY: DOWN}


def test_every_verdict_becomes_a_condition_of_the_generation_that_was_read() -> None:
    assert report.wanted_conditions(VERDICTS, generation=7) == (
        Condition("Accepted", Status.TRUE, "Accepted", "", observed_generation=7),
        Condition("Ready", Status.FALSE, "TunnelDown", "no packets", observed_generation=7),
    )


def test_a_message_that_goes_on_for_ever_is_cut() -> None:
    endless = {PiaVpnCondition.READY: model.Verdict(Status.FALSE, "PodNotReady", "x" * 5000)}
    (found,) = report.wanted_conditions(endless, generation=1)
    assert found.message == "x" * 1024


def test_a_condition_keeps_its_time_while_its_status_is_the_same() -> None:
    before = (Condition("Ready", Status.FALSE, "Registering", "", 6, EARLIER),)
    wanted = report.wanted_conditions(VERDICTS, generation=7)
    assert conditions.transitioned(before, wanted, NOW) == (
        Condition("Accepted", Status.TRUE, "Accepted", "", 7, NOW),
        Condition("Ready", Status.FALSE, "TunnelDown", "no packets", 7, EARLIER),
    )


def test_a_status_that_changes_and_changes_back_has_the_time_of_the_last_change() -> None:
    up = (Condition("Ready", Status.TRUE, "Ready", "", 7, EARLIER),)
    wanted = report.wanted_conditions({PiaVpnCondition.READY: DOWN}, generation=7)
    down = conditions.transitioned(up, wanted, NOW)
    again = (Condition("Ready", Status.TRUE, "Ready", "", 7),)
    later = NOW + timedelta(minutes=1)
    assert conditions.transitioned(down, again, later) == (
        Condition("Ready", Status.TRUE, "Ready", "", 7, later),
    )
