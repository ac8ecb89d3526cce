"""Calls to PIA beside the passes, and what is kept of the server list."""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import controller_samples
import controller_world
import kube_server
import pia_server
import pytest
from controller_world import NAMESPACE, SETTINGS, TOKEN, eventually
from pia_server import Call, Reply

from piavpn import kube
from piavpn.api import types
from piavpn.controller import accounts, errands, model, serverlists

HERE = ipaddress.IPv4Address(pia_server.HOST)
ACCOUNT = "piavpn-account-pia-credentials"


class Front:
    """PIA's login and list, and the TCP port of the one server that the list names."""

    def __init__(self, wireguard_port: int) -> None:
        self.document = copy.deepcopy(controller_world.DOCUMENT)
        self.document["groups"] = {"wg": [{"name": "wireguard", "ports": [wireguard_port]}]}
        (region,) = self.document["regions"]
        region["servers"] = {"wg": [{"ip": pia_server.HOST, "cn": "zurich401"}]}  # type: ignore[index]
        self.calls: list[str] = []

    def reply(self, call: Call) -> Reply:
        self.calls.append(call.method)
        if call.method == "POST":
            return Reply(200, json.dumps({"token": TOKEN}))
        return Reply(200, controller_world.signed(self.document))


@pytest.fixture
def wireguard() -> Iterator[socket.socket]:
    with socket.create_server((pia_server.HOST, 0)) as listening:
        yield listening


@pytest.fixture
def front(wireguard: socket.socket) -> Front:
    return Front(wireguard.getsockname()[1])


@pytest.fixture
def endpoints(front: Front, tmp_path: Path) -> Iterator[types.Endpoints]:
    authority = controller_world.AUTHORITY
    certificate = authority.issue(tmp_path, "www", names=(controller_world.LOCAL,))
    with pia_server.serving(certificate, front.reply) as server:
        base = f"https://{pia_server.HOST}:{server.port}"
        yield types.Endpoints(
            token_url=f"{base}/token",
            server_list_url=f"{base}/servers",
            server_list_public_key=pia_server.public_pem(controller_world.KEY),
            public_ca_bundle=authority.pem,
        )


# The server list


def test_a_list_is_kept_for_an_hour(endpoints: types.Endpoints) -> None:
    lists = serverlists.ServerLists()
    before = datetime.now(UTC)
    lists.refresh(endpoints, measure=False)
    state = lists.state(endpoints)
    assert state.servers is not None
    assert [region.id for region in state.servers.regions] == ["swiss"]
    assert (state.failure, state.latencies) == (None, None)
    assert state.refresh_time is not None
    assert timedelta(0) <= state.refresh_time - before - timedelta(hours=1) < timedelta(minutes=1)


def test_a_list_that_is_not_signed_by_pia_is_a_failure_and_the_old_one_stays(
    endpoints: types.Endpoints, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = serverlists.ServerLists()
    lists.refresh(endpoints, measure=False)
    good = lists.state(endpoints)
    monkeypatch.setattr(controller_world, "KEY", pia_server.new_key())
    lists.refresh(endpoints, measure=False)
    state = lists.state(endpoints)
    assert state.failure is not None
    assert state.failure.reason == "BadSignature"
    assert dataclasses.replace(state, failure=None) == good
    assert front.calls == ["GET", "GET"]


def test_for_auto_the_servers_that_answer_are_measured(endpoints: types.Endpoints) -> None:
    lists = serverlists.ServerLists()
    lists.refresh(endpoints, measure=True)
    assert set(lists.state(endpoints).latencies or {}) == {HERE}


def test_a_vpn_that_names_its_region_does_not_take_another_s_measurements_away(
    endpoints: types.Endpoints, front: Front
) -> None:
    lists = serverlists.ServerLists()
    lists.refresh(endpoints, measure=True)
    (region,) = front.document["regions"]
    region["servers"] = {"wg": [{"ip": "127.0.0.2", "cn": "zurich402"}]}  # type: ignore[index]
    lists.refresh(endpoints, measure=False)
    known = lists.state(endpoints)
    assert known.servers is not None
    assert set(known.latencies or {}) <= {ipaddress.IPv4Address("127.0.0.2")}


def test_when_nothing_answers_it_is_measured_again_within_a_minute(
    endpoints: types.Endpoints, wireguard: socket.socket
) -> None:
    wireguard.close()
    lists = serverlists.ServerLists()
    lists.refresh(endpoints, measure=True)
    state = lists.state(endpoints)
    assert state.latencies == {}
    assert state.refresh_time is not None
    assert state.refresh_time <= datetime.now(UTC) + timedelta(minutes=1)


# Logins


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as api:
        yield api


def vpn(endpoints: types.Endpoints) -> types.PiaVpn:
    known = controller_samples.vpn()
    return dataclasses.replace(known, spec=dataclasses.replace(known.spec, endpoints=endpoints))


def keep(api: kube_server.Api, account: model.Account, token: str | None) -> None:
    body = accounts.secret(ACCOUNT, NAMESPACE, account, token)
    api.put(kube.SECRETS, ACCOUNT, NAMESPACE, data=body["data"])


def log_in(api: kube_server.Api, vpn: types.PiaVpn, account: model.Account | None) -> None:
    """Run one login that was decided on when `account` was what the Secret held."""
    woken = threading.Event()
    lists = serverlists.ServerLists()
    runner = errands.Errands(api.cluster(), SETTINGS, lists, lambda *_: woken.set())
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
