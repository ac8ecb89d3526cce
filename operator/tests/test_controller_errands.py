"""Calls to PIA beside the passes, and what is kept of the server list."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gzip
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
from piavpn.controller import accounts, dedicatedips, errands, keptlists, model, serverlists

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
        self.broken: Reply | None = None
        """What every request is answered while PIA is down."""

    def reply(self, call: Call) -> Reply:
        self.calls.append(call.method)
        if self.broken is not None:
            return self.broken
        if call.method == "POST":
            return Reply(200, json.dumps({"token": TOKEN}))
        return Reply(200, controller_world.signed(self.document))


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as api:
        yield api


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


def fresh(api: kube_server.Api) -> serverlists.ServerLists:
    """Return what an operator that has begun anew knows of the lists: nothing."""
    return serverlists.ServerLists(keptlists.KeptLists(api.cluster(), NAMESPACE))


def test_a_list_is_kept_for_an_hour(api: kube_server.Api, endpoints: types.Endpoints) -> None:
    lists = fresh(api)
    before = datetime.now(UTC)
    lists.refresh(endpoints, measure=False)
    state = lists.state(endpoints)
    assert state.servers is not None
    assert [region.id for region in state.servers.regions] == ["swiss"]
    assert (state.failure, state.latencies) == (None, None)
    assert state.refresh_time is not None
    assert timedelta(0) <= state.refresh_time - before - timedelta(hours=1) < timedelta(minutes=1)


def test_a_list_that_is_not_signed_by_pia_is_a_failure_and_the_old_one_stays(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = fresh(api)
    lists.refresh(endpoints, measure=False)
    good = lists.state(endpoints)
    monkeypatch.setattr(controller_world, "KEY", pia_server.new_key())
    lists.refresh(endpoints, measure=False)
    state = lists.state(endpoints)
    assert state.failure is not None
    assert state.failure.reason == "BadSignature"
    assert dataclasses.replace(state, failure=None, failures=0) == good
    assert front.calls == ["GET", "GET"]


def test_for_auto_the_servers_that_answer_are_measured(
    api: kube_server.Api, endpoints: types.Endpoints
) -> None:
    lists = fresh(api)
    lists.refresh(endpoints, measure=True)
    assert set(lists.state(endpoints).latencies or {}) == {HERE}


def test_a_vpn_that_names_its_region_does_not_take_another_s_measurements_away(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    lists = fresh(api)
    lists.refresh(endpoints, measure=True)
    (region,) = front.document["regions"]
    region["servers"] = {"wg": [{"ip": "127.0.0.2", "cn": "zurich402"}]}  # type: ignore[index]
    lists.refresh(endpoints, measure=False)
    known = lists.state(endpoints)
    assert known.servers is not None
    assert set(known.latencies or {}) <= {ipaddress.IPv4Address("127.0.0.2")}


def test_when_nothing_answers_it_is_measured_again_within_a_minute(
    api: kube_server.Api, endpoints: types.Endpoints, wireguard: socket.socket
) -> None:
    wireguard.close()
    lists = fresh(api)
    lists.refresh(endpoints, measure=True)
    state = lists.state(endpoints)
    assert state.latencies == {}
    assert state.refresh_time is not None
    assert state.refresh_time <= datetime.now(UTC) + timedelta(minutes=1)


def kept_list(api: kube_server.Api) -> kube.Object:
    (found,) = api.all(kube.CONFIG_MAPS)
    return found


def test_the_last_good_list_serves_on_after_a_restart_while_pia_s_is_not_there(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    lists = fresh(api)
    lists.refresh(endpoints, measure=False)
    good = lists.state(endpoints)
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=False)
    state = again.state(endpoints)
    assert state.servers == good.servers
    assert good.list_time is not None
    assert state.list_time == good.list_time.replace(microsecond=0)
    assert state.failure is not None
    assert state.failure.reason == "Unreachable"
    assert state.refresh_time is None, "it is fetched as soon as the failure is over"


def test_measuring_a_kept_list_does_not_put_off_the_next_fetch(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=True)
    again.measure(endpoints)
    assert set(again.state(endpoints).latencies or {}) == {HERE}
    assert again.state(endpoints).refresh_time is None


def test_a_kept_list_that_someone_changed_is_refused(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    forged = controller_world.signed(front.document).replace(b"zurich401", b"zurich666")
    name = kept_list(api)["metadata"]["name"]
    packed = base64.b64encode(gzip.compress(forged)).decode()
    api.put(kube.CONFIG_MAPS, name, NAMESPACE, binaryData={"list.gz": packed})
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=False)
    assert again.state(endpoints).servers is None


@pytest.mark.parametrize(
    "damage",
    [
        {"binaryData": None},
        {"binaryData": {"list.gz": "bm90IGd6aXA="}},
        {"binaryData": {"list.gz": "no base64"}},
        {"data": {"time": "yesterday"}},
        {"data": None},
    ],
)
def test_a_kept_list_that_is_damaged_is_as_none(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front, damage: kube.Object
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    api.put(kube.CONFIG_MAPS, kept_list(api)["metadata"]["name"], NAMESPACE, **damage)
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=False)
    assert (again.state(endpoints).servers, again.state(endpoints).failures) == (None, 1)


def test_an_api_server_that_keeps_nothing_does_not_take_the_list_away(
    api: kube_server.Api, endpoints: types.Endpoints
) -> None:
    api.fault = lambda _call: kube_server.RefusalError(500, "etcd")
    lists = fresh(api)
    lists.refresh(endpoints, measure=False)
    assert lists.state(endpoints).servers is not None


def test_a_list_of_pia_s_size_fits_into_a_config_map(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    (region,) = front.document["regions"]
    servers = [{"ip": f"198.18.{n // 250}.{n % 250}", "cn": f"city{n}"} for n in range(5)]
    many = [{**region, "id": f"region-{n}", "servers": {"wg": servers}} for n in range(400)]
    front.document["regions"] = many
    fresh(api).refresh(endpoints, measure=False)
    assert len(json.dumps(kept_list(api))) < 1024 * 1024


def test_fetches_that_fail_are_made_again_ever_more_seldom(
    api: kube_server.Api, endpoints: types.Endpoints, front: Front
) -> None:
    front.broken = Reply(503, "down for maintenance")
    lists, delays = fresh(api), []
    for _ in range(8):
        lists.refresh(endpoints, measure=False)
        failure = lists.state(endpoints).failure
        assert failure is not None
        delays.append((failure.retry_time - datetime.now(UTC)).total_seconds())
    assert 14 < delays[0] < 23
    assert 239 < delays[-1] < 361
    assert sorted(delays[:4]) == delays[:4]


# Logins


def vpn(endpoints: types.Endpoints) -> types.PiaVpn:
    known = controller_samples.vpn()
    return dataclasses.replace(known, spec=dataclasses.replace(known.spec, endpoints=endpoints))


def keep(api: kube_server.Api, account: model.Account, token: str | None) -> None:
    body = accounts.secret(ACCOUNT, NAMESPACE, account, token)
    api.put(kube.SECRETS, ACCOUNT, NAMESPACE, data=body["data"])


def log_in(api: kube_server.Api, vpn: types.PiaVpn, account: model.Account | None) -> None:
    """Run one login that was decided on when `account` was what the Secret held."""
    woken = threading.Event()
    lists = fresh(api)
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
