"""What is kept of the server list: in memory, in the cluster, and of a bad one nothing."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import ipaddress
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import controller_world
import kube_server
import pia_front
import pia_server
import pytest
from controller_world import NAMESPACE
from pia_front import Front
from pia_server import Reply

from piavpn import keptlists, kube
from piavpn.api import piavpns
from piavpn.controller import serverlists

HERE = ipaddress.IPv4Address(pia_server.HOST)


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
def endpoints(front: Front, tmp_path: Path) -> Iterator[piavpns.Endpoints]:
    with pia_front.serving(front, tmp_path) as endpoints:
        yield endpoints


def fresh(api: kube_server.Api) -> serverlists.ServerLists:
    """Return what an operator that has begun anew knows of the lists: nothing."""
    return serverlists.ServerLists(keptlists.KeptLists(api.cluster(), NAMESPACE))


def test_a_list_is_kept_for_an_hour(api: kube_server.Api, endpoints: piavpns.Endpoints) -> None:
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
    api: kube_server.Api,
    endpoints: piavpns.Endpoints,
    front: Front,
    monkeypatch: pytest.MonkeyPatch,
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
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    lists = fresh(api)
    lists.refresh(endpoints, measure=True)
    assert set(lists.state(endpoints).latencies or {}) == {HERE}


def test_a_vpn_that_names_its_region_does_not_take_another_s_measurements_away(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
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
    api: kube_server.Api, endpoints: piavpns.Endpoints, wireguard: socket.socket
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
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
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
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=True)
    again.measure(endpoints)
    assert set(again.state(endpoints).latencies or {}) == {HERE}
    assert again.state(endpoints).refresh_time is None


def test_a_kept_list_that_someone_changed_is_refused(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
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


@pytest.mark.parametrize(("length", "taken"), [(7, True), (8, False)])
def test_a_kept_list_that_would_fill_the_memory_is_refused(
    api: kube_server.Api,
    endpoints: piavpns.Endpoints,
    front: Front,
    length: int,
    *,
    taken: bool,
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    padded = controller_world.signed({**front.document, "padding": "x" * length * 1024 * 1024})
    name = kept_list(api)["metadata"]["name"]
    packed = base64.b64encode(gzip.compress(padded)).decode()
    api.put(kube.CONFIG_MAPS, name, NAMESPACE, binaryData={"list.gz": packed})
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=False)
    assert (again.state(endpoints).servers is not None) is taken


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
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front, damage: kube.Object
) -> None:
    fresh(api).refresh(endpoints, measure=False)
    api.put(kube.CONFIG_MAPS, kept_list(api)["metadata"]["name"], NAMESPACE, **damage)
    front.broken = Reply(503, "down for maintenance")
    again = fresh(api)
    again.refresh(endpoints, measure=False)
    assert (again.state(endpoints).servers, again.state(endpoints).failures) == (None, 1)


def test_an_api_server_that_keeps_nothing_does_not_take_the_list_away(
    api: kube_server.Api, endpoints: piavpns.Endpoints
) -> None:
    api.fault = lambda _call: kube_server.RefusalError(500, "etcd")
    lists = fresh(api)
    lists.refresh(endpoints, measure=False)
    assert lists.state(endpoints).servers is not None


def test_a_list_of_pia_s_size_fits_into_a_config_map(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
) -> None:
    (region,) = front.document["regions"]
    servers = [{"ip": f"198.18.{n // 250}.{n % 250}", "cn": f"city{n}"} for n in range(5)]
    many = [{**region, "id": f"region-{n}", "servers": {"wg": servers}} for n in range(400)]
    front.document["regions"] = many
    fresh(api).refresh(endpoints, measure=False)
    assert len(json.dumps(kept_list(api))) < 1024 * 1024


def test_fetches_that_fail_are_made_again_ever_more_seldom(
    api: kube_server.Api, endpoints: piavpns.Endpoints, front: Front
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
