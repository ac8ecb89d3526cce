"""Logins beside the passes, and what each leaves behind."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import controller_samples
import kube_server
import pia_front
import pytest
from controller_world import NAMESPACE, SETTINGS, TOKEN, eventually
from pia_front import Front

from piavpn import kube
from piavpn.api import types
from piavpn.controller import accounts, dedicatedips, errands, keptlists, model, serverlists

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
def endpoints(front: Front, tmp_path: Path) -> Iterator[types.Endpoints]:
    with pia_front.serving(front, tmp_path) as endpoints:
        yield endpoints


def vpn(endpoints: types.Endpoints) -> types.PiaVpn:
    known = controller_samples.vpn()
    return dataclasses.replace(known, spec=dataclasses.replace(known.spec, endpoints=endpoints))


def keep(api: kube_server.Api, account: model.Account, token: str | None) -> None:
    body = accounts.secret(ACCOUNT, NAMESPACE, account, token)
    api.put(kube.SECRETS, ACCOUNT, NAMESPACE, data=body["data"])


def log_in(api: kube_server.Api, vpn: types.PiaVpn, account: model.Account | None) -> None:
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
    api: kube_server.Api, endpoints: types.Endpoints
) -> None:
    log_in(api, vpn(endpoints), None)
    account, token = kept(api)
    assert account is not None
    assert (account.fingerprint, account.failure, token) == ("print-1", None, TOKEN)


def test_a_login_that_was_decided_on_before_another_one_ended_is_not_made(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    keep(api, controller_samples.ACCOUNT, "token-of-the-other")
    log_in(api, vpn(endpoints), None)
    assert front.calls == []
    assert kept(api) == (controller_samples.ACCOUNT, "token-of-the-other")


def test_a_login_that_fails_keeps_the_token_that_these_credentials_got(
    api: kube_server.Api, endpoints: types.Endpoints
) -> None:
    away = dataclasses.replace(endpoints, token_url="https://127.0.0.1:1/token")
    keep(api, controller_samples.ACCOUNT, "token-1")
    log_in(api, vpn(away), controller_samples.ACCOUNT)
    account, token = kept(api)
    assert account is not None
    assert account.failure is not None
    assert (account.has_token, account.failure.reason, token) == (True, "Unreachable", "token-1")


def test_but_not_a_token_that_others_got(api: kube_server.Api, endpoints: types.Endpoints) -> None:
    away = dataclasses.replace(endpoints, token_url="https://127.0.0.1:1/token")
    other = dataclasses.replace(controller_samples.ACCOUNT, fingerprint="print-0")
    keep(api, other, "token-0")
    log_in(api, vpn(away), other)
    account, token = kept(api)
    assert account is not None
    assert (account.fingerprint, account.has_token) == ("print-1", False)
    assert not token
