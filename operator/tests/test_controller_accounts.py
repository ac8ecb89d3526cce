"""Credentials as users write them, and the Secret that a login leaves behind."""

from __future__ import annotations

import base64
import dataclasses
from datetime import datetime
from typing import Any

import pytest
from controller_samples import EARLIER, LATER, NOW

from piavpn.api import piavpns
from piavpn.controller import accounts, model
from piavpn.controller.errands import retry_delay
from piavpn.pia import errors

REF = piavpns.CredentialsSecretRef("pia-credentials")
FAILURE = model.Failure("RateLimited", "PIA takes no login for a while", LATER)


def encoded(**data: str | bytes) -> dict[str, Any]:
    raw = {k: v.encode() if isinstance(v, str) else v for k, v in data.items()}
    return {
        "metadata": {"name": "pia-credentials", "uid": "uid-1"},
        "data": {key: base64.b64encode(value).decode() for key, value in raw.items()},
    }


def credentials(**data: str | bytes) -> model.Credentials:
    found = accounts.read_credentials(REF, "piavpn-system", encoded(**data))
    assert isinstance(found, model.Credentials)
    return found


# Credentials


def test_user_name_and_password_are_read_as_they_are() -> None:
    found = credentials(username="p1234567", password=" a b\tc ")
    assert (found.username, found.password) == ("p1234567", " a b\tc ")


def test_the_line_ends_that_files_and_echo_leave_behind_are_cut_off() -> None:
    found = credentials(username="p1234567\n", password="correct horse\r\n")
    assert (found.username, found.password) == ("p1234567", "correct horse")


def test_keys_can_be_named() -> None:
    ref = piavpns.CredentialsSecretRef("pia-credentials", "user", "pass")
    found = accounts.read_credentials(ref, "piavpn-system", encoded(**{"user": "u", "pass": "p"}))
    assert isinstance(found, model.Credentials)
    assert (found.username, found.password) == ("u", "p")


def test_a_missing_secret_is_answered_with_the_command_that_makes_it() -> None:
    assert accounts.read_credentials(REF, "piavpn-system", None) == model.CredentialsProblem(
        "CredentialsNotFound",
        "there is no Secret pia-credentials in namespace piavpn-system: create it with kubectl "
        "create secret generic pia-credentials -n piavpn-system --from-literal=username=... "
        "--from-literal=password=...",
    )


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({"username": "p1234567"}, "password"),
        ({"password": "correct horse"}, "username"),
        ({"username": " \n", "password": "correct horse"}, "username"),
        ({"username": "p1234567", "password": "\n"}, "password"),
        ({}, "username and no password"),
    ],
)
def test_a_missing_or_empty_key_is_told_by_its_name(data: dict[str, str], missing: str) -> None:
    found = accounts.read_credentials(REF, "piavpn-system", encoded(**data))
    assert found == model.CredentialsProblem(
        "CredentialsIncomplete",
        f"Secret pia-credentials in namespace piavpn-system has no {missing}: add it, or name "
        "its key in spec.credentialsSecretRef",
    )


def test_a_secret_without_any_data_is_incomplete() -> None:
    bare = {"metadata": {"name": "pia-credentials"}}
    found = accounts.read_credentials(REF, "piavpn-system", bare)
    assert isinstance(found, model.CredentialsProblem)


def test_other_credentials_have_another_fingerprint() -> None:
    one = credentials(username="p1234567", password="correct horse").fingerprint
    assert credentials(username="p1234567", password="correct horse").fingerprint == one
    assert credentials(username="p1234567", password="battery").fingerprint != one
    assert credentials(username="p12345", password="67correct horse").fingerprint != one


def test_credentials_show_nothing_of_themselves_in_logs() -> None:
    shown = repr(credentials(username="p1234567", password="correct horse"))
    assert shown == "Credentials()"


# The account's Secret


@pytest.mark.parametrize(
    ("account", "token"),
    [
        (model.Account("print-1", has_token=True, token_time=NOW), "token-1"),
        (model.Account("print-1", has_token=False, failure=FAILURE, failures=3), None),
        (model.Account("print-1", has_token=True, token_time=NOW, failure=FAILURE), "token-1"),
    ],
    ids=["a login", "a failure", "a failure after a login"],
)
def test_what_is_kept_is_read_again(account: model.Account, token: str | None) -> None:
    secret = accounts.secret("piavpn-account-pia", "piavpn-system", account, token)
    assert accounts.read(secret) == account
    assert accounts.read_token(secret) == token


def test_the_secret_has_the_token_alone_under_its_key_and_no_password() -> None:
    account = model.Account("print-1", has_token=True, token_time=NOW)
    secret = accounts.secret("piavpn-account-pia", "piavpn-system", account, "token-1")
    data = {key: base64.b64decode(value).decode() for key, value in secret.pop("data").items()}
    assert data == {
        "fingerprint": "print-1",
        "token": "token-1",
        "tokenTime": "2026-11-23T12:00:00Z",
    }
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "piavpn-account-pia",
            "namespace": "piavpn-system",
            "labels": {"piavpn.dev/account": "true"},
        },
    }


def test_no_secret_is_no_account_and_no_token() -> None:
    assert accounts.read(None) is None
    assert accounts.read_token(None) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, model.Account("", has_token=False)),
        ({"token": ""}, model.Account("", has_token=False)),
        ({"token": "t", "tokenTime": "yesterday"}, model.Account("", has_token=True)),
        ({"token": "t", "tokenTime": "2026-11-23T12:00:00"}, model.Account("", has_token=True)),
        ({"failureReason": "RateLimited"}, model.Account("", has_token=False)),
        ({"failures": "-1"}, model.Account("", has_token=False)),
        (
            {"failureReason": "", "retryTime": "2026-11-23T12:00:00Z"},
            model.Account("", has_token=False),
        ),
        ({"fingerprint": b"\xff\xfe"}, model.Account("\ufffd\ufffd", has_token=False)),
    ],
)
def test_a_secret_that_someone_changed_by_hand_leads_to_a_login_and_to_no_crash(
    data: dict[str, str | bytes], expected: model.Account
) -> None:
    assert accounts.read(encoded(**data)) == expected


# Two Secrets of one account


LIMITED = model.Failure("RateLimited", "PIA takes no login for a while", LATER)
MINE = model.Credentials("p1234567", "correct horse", "print-mine", "login-1", "account-1")


def kept(name: str, token: str | None = None, **changes: Any) -> model.Object:
    known = model.Account(f"print-{name}", has_token=token is not None, login="login-1")
    return accounts.secret(name, "piavpn-system", dataclasses.replace(known, **changes), token)


def mine(**changes: Any) -> model.Account:
    known = model.Account("print-mine", has_token=False, login="login-1", account="account-1")
    return dataclasses.replace(known, **changes)


def test_a_token_that_another_secret_of_the_account_got_is_taken_over() -> None:
    other = kept("other", "token-1", token_time=NOW)
    expected = mine(has_token=True, token_time=NOW), "token-1"
    assert accounts.shared(MINE, None, [other], NOW) == expected


def test_not_one_that_another_password_got() -> None:
    other = kept("other", "token-1", token_time=NOW, login="login-2")
    assert accounts.shared(MINE, None, [other], NOW) is None


@pytest.mark.parametrize(
    ("token", "issued"),
    [("token-1", NOW), ("token-0", EARLIER)],
    ids=["the rejected one itself", "an older one"],
)
def test_nor_one_that_is_no_better_than_the_own_one_that_was_rejected(
    token: str, issued: datetime
) -> None:
    own = kept("mine", "token-1", token_time=NOW)
    other = kept("other", token, token_time=issued)
    assert accounts.shared(MINE, own, [other], NOW) is None


def test_a_newer_one_replaces_the_own_one_that_was_rejected() -> None:
    own = kept("mine", "token-1", token_time=EARLIER)
    other = kept("other", "token-2", token_time=NOW)
    expected = mine(has_token=True, token_time=NOW), "token-2"
    assert accounts.shared(MINE, own, [other], NOW) == expected


def test_a_rate_limit_that_another_secret_met_is_respected() -> None:
    other = kept("other", failure=LIMITED)
    assert accounts.shared(MINE, None, [other], NOW) == (mine(failure=LIMITED), None)
    assert accounts.shared(MINE, None, [other], LATER) is None


def test_a_rate_limit_outlives_the_secret_that_is_made_again_with_the_same_content() -> None:
    own = kept("earlier", failure=LIMITED)
    assert accounts.shared(MINE, own, [], NOW) == (mine(failure=LIMITED), None)


def test_but_another_password_is_tried_at_once() -> None:
    own = kept("earlier", failure=LIMITED, login="login-2")
    assert accounts.shared(MINE, own, [], NOW) is None


@pytest.mark.parametrize("reason", ["BadCredentials", "Unreachable"])
def test_any_other_failure_of_another_secret_keeps_nobody_from_logging_in(reason: str) -> None:
    failure = dataclasses.replace(LIMITED, reason=reason)
    assert accounts.shared(MINE, None, [kept("other", failure=failure)], NOW) is None


# How long PIA is left alone


def seconds(error: errors.PiaError, failures: int = 0) -> float:
    return retry_delay(error, failures).total_seconds()


def test_a_rate_limit_is_respected_for_15_minutes_at_least() -> None:
    assert seconds(errors.RateLimited("slow down")) == 900
    assert seconds(errors.RateLimited("slow down", retry_after=60)) == 900


def test_and_for_as_long_as_pia_asks() -> None:
    assert seconds(errors.RateLimited("slow down", retry_after=3600)) == 3600


def test_but_for_a_day_at_most() -> None:
    assert seconds(errors.RateLimited("slow down", retry_after=999_999)) == 86_400


@pytest.mark.parametrize("refusal", [errors.BadCredentials, errors.SubscriptionExpired])
def test_what_only_the_user_can_mend_is_tried_seldom(refusal: type[errors.PiaError]) -> None:
    assert seconds(refusal("no")) == 900


def test_an_outage_is_tried_again_soon_and_never_by_all_at_once() -> None:
    delays = {seconds(errors.Unreachable("no answer")) for _ in range(50)}
    assert 15 <= min(delays) < max(delays) <= 30


@pytest.mark.parametrize(
    ("failures", "shortest", "longest"),
    [(1, 30, 60), (3, 120, 240), (5, 450, 900), (999, 450, 900)],
)
def test_an_outage_that_lasts_is_tried_more_and_more_seldom(
    failures: int, shortest: float, longest: float
) -> None:
    for error in (errors.Unreachable("a CDN's page"), errors.BadResponse("no token")):
        delays = [seconds(error, failures) for _ in range(50)]
        assert shortest <= min(delays) < max(delays) <= longest


def test_failures_in_a_row_are_counted_in_the_secret() -> None:
    own = None
    for failed in (1, 2, 3):
        account, token = accounts.after_failure(MINE, own, LIMITED)
        own = accounts.secret("mine", "piavpn-system", account, token)
        assert accounts.failures(MINE, own) == failed


def test_a_login_that_goes_well_or_other_credentials_begin_the_count_anew() -> None:
    own = kept("mine", failure=LIMITED, failures=7)
    assert accounts.failures(MINE, own) == 7
    other = dataclasses.replace(MINE, fingerprint="print-other")
    assert accounts.failures(other, own) == 0
    assert accounts.after_login(MINE, NOW).failures == 0


def test_a_failure_s_time_survives_the_secret_to_the_second() -> None:
    account = dataclasses.replace(model.Account("print-1", has_token=False), failure=FAILURE)
    secret = accounts.secret("x", "piavpn-system", account, None)
    found = accounts.read(secret)
    assert found is not None
    assert found.failure == FAILURE
