"""Logins and look-ups beside the passes, and what each leaves behind."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import controller_samples
import kube_server
import pia_front
import pytest
from controller_world import NAMESPACE, SETTINGS, TOKEN, eventually
from pia_front import Front
from pia_server import Reply

from piavpn import keptlists, kube
from piavpn.api import piavpns
from piavpn.controller import accounts, dedicatedips, errands, model, serverlists

ACCOUNT = "piavpn-account-pia-credentials"
NOWHERE = 1
"""A port that no server listens on: these tests measure nothing."""


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as api:
        yield api


@pytest.fixture
def front() -> Front:
    return Front(NOWHERE)


@pytest.fixture
def endpoints(front: Front, tmp_path: Path) -> Iterator[piavpns.Endpoints]:
    with pia_front.serving(front, tmp_path) as endpoints:
        yield endpoints


def vpn(endpoints: piavpns.Endpoints) -> piavpns.PiaVpn:
    known = controller_samples.vpn()
    return dataclasses.replace(known, spec=dataclasses.replace(known.spec, endpoints=endpoints))


def keep(api: kube_server.Api, account: model.Account, token: str | None) -> None:
    body = accounts.secret(ACCOUNT, NAMESPACE, account, token)
    labels = {"labels": body["metadata"]["labels"]}
    api.put(kube.SECRETS, ACCOUNT, NAMESPACE, metadata=labels, data=body["data"])


def log_in(api: kube_server.Api, vpn: piavpns.PiaVpn, account: model.Account | None) -> None:
    """Run one login that was decided on when `account` was what the Secret held."""
    woken = threading.Event()
    lists = serverlists.ServerLists(keptlists.KeptLists(api.cluster(), NAMESPACE))
    dedicated = dedicatedips.DedicatedIps()
    runner = errands.Errands(api.cluster(), SETTINGS, lists, dedicated, lambda *_: woken.set())
    seen = controller_samples.seen(vpn=vpn, account=account)
    runner.start(vpn, seen, model.Errands(login=True))
    eventually(woken.is_set)
    runner.close()


def kept(api: kube_server.Api) -> tuple[model.Account | None, str | None]:
    secret = api.get(kube.SECRETS, ACCOUNT, NAMESPACE)
    return accounts.read(secret), accounts.read_token(secret)


def test_a_login_leaves_its_token_with_the_fingerprint_of_its_credentials(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    log_in(api, vpn(endpoints), None)
    account, token = kept(api)
    assert account is not None
    assert (account.fingerprint, account.failure, token) == ("print-1", None, TOKEN)


def test_a_login_that_was_decided_on_before_another_one_ended_is_not_made(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    keep(api, controller_samples.ACCOUNT, "token-of-the-other")
    log_in(api, vpn(endpoints), None)
    assert front.calls == []
    assert kept(api) == (controller_samples.ACCOUNT, "token-of-the-other")


def test_a_login_that_fails_keeps_the_token_that_these_credentials_got(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    away = dataclasses.replace(endpoints, token_url="https://127.0.0.1:1/token")
    keep(api, controller_samples.ACCOUNT, "token-1")
    log_in(api, vpn(away), controller_samples.ACCOUNT)
    account, token = kept(api)
    assert account is not None
    assert account.failure is not None
    assert (account.has_token, account.failure.reason, token) == (True, "Unreachable", "token-1")


def test_a_login_that_fails_again_waits_longer_whatever_operator_asks(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    away = dataclasses.replace(endpoints, token_url="https://127.0.0.1:1/token")
    before = model.Failure("Unreachable", "no answer", datetime(2026, 11, 23, tzinfo=UTC))
    failed = model.Account("print-1", has_token=False, failure=before, failures=9)
    keep(api, failed, None)
    begun = datetime.now(UTC)
    log_in(api, vpn(away), failed)
    account, _ = kept(api)
    assert account is not None
    assert account.failure is not None
    assert account.failures == 10
    assert account.failure.retry_time - begun > timedelta(minutes=7)


def test_but_not_a_token_that_others_got(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    away = dataclasses.replace(endpoints, token_url="https://127.0.0.1:1/token")
    other = dataclasses.replace(controller_samples.ACCOUNT, fingerprint="print-0")
    keep(api, other, "token-0")
    log_in(api, vpn(away), other)
    account, token = kept(api)
    assert account is not None
    assert (account.fingerprint, account.has_token) == ("print-1", False)
    assert not token


# Dedicated IPs


def look_up(
    api: kube_server.Api, vpn: piavpns.PiaVpn, dedicated: dedicatedips.DedicatedIps
) -> model.DedicatedState:
    woken = threading.Event()
    lists = serverlists.ServerLists(keptlists.KeptLists(api.cluster(), NAMESPACE))
    runner = errands.Errands(api.cluster(), SETTINGS, lists, dedicated, lambda *_: woken.set())
    seen = controller_samples.seen(vpn=vpn, dedicated_token="DIP0123")
    runner.start(vpn, seen, model.Errands(look_up=True))
    eventually(woken.is_set)
    runner.close()
    return dedicated.state(vpn.spec.endpoints, "DIP0123")


def test_a_dedicated_ip_is_looked_up_with_the_account_s_token_and_kept_for_hours(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    keep(api, controller_samples.ACCOUNT, "token-1")
    known = look_up(api, vpn(endpoints), dedicatedips.DedicatedIps())
    assert known.found is not None
    assert (known.found.cn, known.failure) == ("frankfurt412", None)
    assert known.refresh_time is not None
    assert known.refresh_time > datetime.now(UTC) + timedelta(hours=5)


def test_a_failure_keeps_what_was_known_of_it(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    keep(api, controller_samples.ACCOUNT, "token-1")
    dedicated = dedicatedips.DedicatedIps()
    before = look_up(api, vpn(endpoints), dedicated)
    front.broken = Reply(401, "HTTP Token: Access denied.")
    known = look_up(api, vpn(endpoints), dedicated)
    assert known.found == before.found
    assert known.failure is not None
    assert known.failure.reason == "TokenRejected"
    assert known.rejected == controller_samples.ACCOUNT.token_time


def test_without_a_token_of_the_account_pia_is_not_asked(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    assert look_up(api, vpn(endpoints), dedicatedips.DedicatedIps()) == model.DedicatedState()
    assert front.calls == []


# The server list


def fetch(
    api: kube_server.Api,
    lists: serverlists.ServerLists,
    vpn: piavpns.PiaVpn,
    known: model.ServerListState,
) -> None:
    """Run one fetch that was decided on when `known` was what was known."""
    woken = threading.Event()
    dedicated = dedicatedips.DedicatedIps()
    runner = errands.Errands(api.cluster(), SETTINGS, lists, dedicated, lambda *_: woken.set())
    seen = controller_samples.seen(vpn=vpn, server_list=known)
    runner.start(vpn, seen, model.Errands(fetch_list=True))
    eventually(woken.is_set)
    runner.close()


def test_a_list_that_came_between_the_look_and_the_decision_is_not_fetched_again(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    lists = serverlists.ServerLists(keptlists.KeptLists(api.cluster(), NAMESPACE))
    unknown = model.ServerListState()
    fetch(api, lists, vpn(endpoints), unknown)
    assert front.calls == ["GET"]
    fetch(api, lists, vpn(endpoints), unknown)
    assert front.calls == ["GET"]
    # The control: decided on with the list in view, it is.
    fetch(api, lists, vpn(endpoints), lists.state(endpoints))
    assert front.calls == ["GET", "GET"]
