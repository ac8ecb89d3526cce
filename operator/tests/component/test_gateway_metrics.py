"""What Prometheus reads of a running gateway, against a stand-in of PIA."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import gateway_world
import namespaces
import pytest
import scraping
from fakepia_world import FakePia
from gateway_world import POD_ADDRESS, ZURICH401, ZURICH402, World
from kube_api import Api
from namespaces import Namespace
from port_receiver import RECEIVER, listening

from fakepia.world import FRONT
from piavpn.api.gateway_config import Renewal


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.around(pia, new_namespace, tmp_path) as world:
        yield world
    pia.control.reset()
    pia.control.forget_peers()


@contextlib.contextmanager
def serving(world: World) -> Iterator[None]:
    """Run the gateway; it can be asked for its metrics."""
    with world.gateway():
        namespaces.eventually(lambda: world.probe("livez") == 200, what="the gateway's start")
        yield


def scrape(world: World) -> dict[str, float]:
    """Return the values by what Prometheus calls them, without prefix and the VPN's name."""
    with world.node.entered():
        found = scraping.scrape(f"http://{POD_ADDRESS}:8080/metrics")
    return {_short(name): value for name, value in found.items()}


def _short(name: str) -> str:
    short = name.removeprefix("piavpn_").replace(',vpn="home"', "").replace('vpn="home"', "")
    return short.removesuffix("{}")


def wait_for(world: World, name: str, value: float) -> dict[str, float]:
    """Wait until this is told, and return all that is."""
    namespaces.eventually(
        lambda: scrape(world).get(name) == value, what=f"{name} {value}", seconds=30
    )
    return scrape(world)


def of_sessions_and_ports(metrics: dict[str, float]) -> set[str]:
    kinds = ("session_", "handshake_", "exit_address_info", "port_", "forwarded_port_")
    return {name for name in metrics if name.startswith(kinds)}


def test_without_a_tunnel_nothing_is_told_of_a_session_or_a_port(world: World) -> None:
    world.tell(ZURICH401)
    with world.api(), serving(world):
        metrics = scrape(world)
        assert metrics["tunnel_up"] == 0
        assert metrics["process_resident_memory_bytes"] > 0
        assert of_sessions_and_ports(metrics) == set()
        kinds = ("registrations_", "renewals_", "failovers_", "exit_address_changes_")
        assert {name: value for name, value in metrics.items() if name.startswith(kinds)} == {
            'registrations_total{result="success"}': 0,
            'renewals_total{result="success"}': 0,
            'renewals_total{result="failure"}': 0,
            "failovers_total": 0,
            "exit_address_changes_total": 0,
        }


def test_session_address_and_port_are_told_as_they_are(world: World) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    world.give_token()
    began = time.time()
    with world.api() as api, serving(world):
        wait_for(world, "port_forwarded", 1)
        metrics = wait_for(world, 'exit_address_info{address="198.18.11.1"}', 1)
        port = api.status["forwardedPort"]["port"]
        assert of_sessions_and_ports(metrics) == {
            'session_info{region="swiss",server="zurich401"}',
            "session_registered_timestamp_seconds",
            "handshake_timestamp_seconds",
            'exit_address_info{address="198.18.11.1"}',
            "port_forwarded",
            f'forwarded_port_info{{port="{port}"}}',
            "forwarded_port_bound_timestamp_seconds",
            "forwarded_port_expiry_timestamp_seconds",
        }
        for name in ("session_registered", "handshake", "forwarded_port_bound"):
            assert began - 1 <= metrics[f"{name}_timestamp_seconds"] <= time.time()
        assert metrics["forwarded_port_expiry_timestamp_seconds"] > time.time()
        assert metrics["tunnel_up"] == 1
        assert metrics['registrations_total{result="success"}'] == 1
        for call in ("addKey", "getSignature", "bindPort"):
            counted = f'pia_request_duration_seconds_count{{call="{call}",result="success"}}'
            assert metrics[counted] == 1


def test_a_renewal_is_counted_and_leaves_nothing_of_the_old_session(world: World) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    with world.api() as api, serving(world):
        wait_for(world, 'exit_address_info{address="198.18.11.1"}', 1)
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        renew(world, api, later)
        renewal = "session_renew_timestamp_seconds"
        appointed = wait_for(world, renewal, later.timestamp())
        renew(world, api, datetime.now(UTC))
        metrics = wait_for(world, 'exit_address_info{address="198.18.11.2"}', 1)
    assert appointed['session_info{region="swiss",server="zurich401"}'] == 1
    assert of_sessions_and_ports(metrics) == {
        'session_info{region="swiss",server="zurich402"}',
        "session_registered_timestamp_seconds",
        "handshake_timestamp_seconds",
        'exit_address_info{address="198.18.11.2"}',
    }
    assert metrics['registrations_total{result="success"}'] == 2
    assert metrics['renewals_total{result="success"}'] == 1
    assert metrics["exit_address_changes_total"] == 1
    assert metrics["failovers_total"] == 0


def renew(world: World, api: Api, time: datetime) -> None:
    """Have the operator appoint the renewal of the session that the status tells."""
    namespaces.eventually(lambda: "session" in api.status, what="the session in the status")
    renewal = Renewal(api.status["session"]["publicKey"], time.replace(microsecond=0))
    world.tell(ZURICH401, ZURICH402, renewal=renewal)


def test_a_dead_server_is_a_failover_and_a_failed_registration_has_its_reason(
    world: World,
) -> None:
    world.tell(ZURICH401, ZURICH402)
    world.give_token()
    world.pia.control.fail({"addKey": {"zurich401": "http_500"}})
    with world.api(), serving(world):
        wait_for(world, 'session_info{region="swiss",server="zurich402"}', 1)
        faults = {"addKey": {"zurich401": "http_500"}, "server": {"zurich402": "dead"}}
        world.pia.control.fail(faults)
        metrics = wait_for(world, "tunnel_up", 0)
        assert metrics['registrations_total{result="BadResponse"}'] >= 1
        assert of_sessions_and_ports(metrics) == set()
        # The dead server may answer again yet, until there is another one.
        assert metrics["failovers_total"] == 0
        world.pia.control.fail({"addKey": None})
        assert wait_for(world, "tunnel_up", 1)["failovers_total"] == 1


def test_what_the_gateways_rules_drop_is_counted_by_reason(world: World) -> None:
    world.tell(ZURICH401)
    world.give_token()
    with world.api(), serving(world):
        world.wait_until_up()
        before = scrape(world)
        world.app.run("curl --silent --max-time 1 http://10.100.0.2:8080/metrics", check=False)
        namespaces.eventually(lambda: world.dropped("dropped_input") > 0, what="a drop")
        wait_for(
            world, 'tunnel_dropped_packets_total{reason="input"}', world.dropped("dropped_input")
        )
    assert {name for name in before if name.startswith("tunnel_dropped_packets_total")} == {
        f'tunnel_dropped_packets_total{{reason="{reason}"}}'
        for reason in ("invalid", "forward", "input", "ipv6", "astray", "proxied")
    }


def test_whether_the_port_is_open_is_told_as_it_was_last_tried(world: World) -> None:
    url = f"https://{FRONT}/port/{{port}}"
    world.tell(ZURICH401, port_forwarding=RECEIVER, port_check_url=url)
    world.give_token()
    with world.api() as api, serving(world):
        assert "forwarded_port_open" not in scrape(world)
        wait_for(world, "forwarded_port_open", 0)
        with listening(world, api.status["forwardedPort"]["port"]):
            wait_for(world, "forwarded_port_open", 1)
