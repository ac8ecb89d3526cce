"""When the operator logs in at PIA: a failed login, and a token that PIA's servers reject."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from controller_decisions import AUTHENTICATED, NOTHING, READY, false, fine_but, true, unknown
from controller_samples import (
    ACCOUNT,
    EARLIER,
    KNOWN_LIST,
    LATER,
    NETWORK,
    NOW,
    condition,
    failed_login,
    pod,
    seen,
    vpn,
)

from piavpn.api import piavpns
from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import decide, model


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("BadCredentials", "what PIA said"),
        ("RateLimited", "what PIA said: the next login is made at 2026-11-23T12:10:00Z"),
        ("Unreachable", "what PIA said"),
    ],
)
def test_after_a_failed_login_pia_is_left_alone_until_the_retry_s_time(
    reason: str, message: str
) -> None:
    found = decide.decide(seen(account=failed_login(reason, LATER), gateway_pod=pod(ready=False)))
    assert found == fine_but(
        {AUTHENTICATED: false(reason, message), READY: false(reason, message)},
        requeue_seconds=300.0,
    )


def test_the_next_pass_is_due_when_the_retry_is() -> None:
    soon = failed_login("Unreachable", NOW + timedelta(seconds=20))
    assert decide.decide(seen(account=soon)).requeue_seconds == 20


def test_the_login_is_repeated_when_its_time_has_come() -> None:
    found = decide.decide(seen(account=failed_login("RateLimited", NOW)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[AUTHENTICATED].reason == "RateLimited"


def test_a_login_does_not_wait_for_a_time_that_a_wrong_clock_set() -> None:
    waiting = decide.decide(seen(account=failed_login("RateLimited", NOW + timedelta(days=1))))
    assert waiting.errands == NOTHING
    found = decide.decide(
        seen(account=failed_login("RateLimited", NOW + timedelta(days=1, seconds=1)))
    )
    assert found.errands == model.Errands(login=True)


def test_nor_does_the_list() -> None:
    years = NOW + timedelta(days=2000)
    failure = model.Failure("Unreachable", "no answer", years)
    for known in (
        dataclasses.replace(KNOWN_LIST, refresh_time=years),
        dataclasses.replace(KNOWN_LIST, refresh_time=None, failure=failure),
    ):
        assert decide.decide(seen(server_list=known)).errands == model.Errands(fetch_list=True)


def test_a_tunnel_that_works_stays_ready_though_a_login_failed() -> None:
    found = decide.decide(seen(account=failed_login("BadCredentials", LATER)))
    assert found.verdicts[READY] == true("Ready")


# Tokens that PIA's servers reject


def rejected(since: Any, kind: PiaVpnCondition = PiaVpnCondition.REGISTERED) -> piavpns.PiaVpn:
    told = dataclasses.replace(
        condition(kind, Status.FALSE, "TokenRejected"), last_transition_time=since
    )
    status = piavpns.PiaVpnStatus(network=NETWORK, conditions=(told,))
    return vpn(status=status)


@pytest.mark.parametrize("kind", [PiaVpnCondition.REGISTERED, PiaVpnCondition.PORT_FORWARDED])
def test_a_rejected_token_is_followed_by_one_login(kind: PiaVpnCondition) -> None:
    issued = EARLIER
    found = decide.decide(seen(vpn=rejected(issued + timedelta(minutes=1), kind)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[AUTHENTICATED] == unknown("LoggingIn", "PIA rejected the token")


def test_a_token_that_a_renewal_finds_rejected_is_followed_by_a_login_while_the_tunnel_is_up() -> (
    None
):
    renewing = condition(PiaVpnCondition.REGISTERED, Status.TRUE, "TokenRejected")
    up = condition(PiaVpnCondition.TUNNEL_UP)
    status = piavpns.PiaVpnStatus(network=NETWORK, conditions=(renewing, up))
    found = decide.decide(seen(vpn=vpn(status=status)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[READY] == true("Ready")


def test_a_new_token_that_is_rejected_too_is_not_followed_by_another_login_at_once() -> None:
    issued = NOW - timedelta(minutes=1)
    account = dataclasses.replace(ACCOUNT, token_time=issued)
    before_the_login = issued - timedelta(minutes=1)
    found = decide.decide(seen(vpn=rejected(since=before_the_login), account=account))
    assert found.errands == NOTHING
    assert found.verdicts[AUTHENTICATED] == true("LoggedIn")


def test_gateways_that_still_use_the_last_token_or_whose_clock_is_ahead_cause_no_login() -> None:
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(seconds=29))
    found = decide.decide(seen(vpn=rejected(since=NOW + timedelta(minutes=5)), account=account))
    assert found.errands == NOTHING
    assert found.requeue_seconds == 1, "when it is told apart from a refusal of the new one"
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(seconds=30))
    found = decide.decide(seen(vpn=rejected(since=NOW + timedelta(minutes=5)), account=account))
    assert found.errands == model.Errands(login=True)


def test_it_is_followed_by_one_after_15_minutes() -> None:
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(minutes=15))
    found = decide.decide(seen(vpn=rejected(since=EARLIER), account=account))
    assert found.errands == model.Errands(login=True)
