"""A tunnel moves to another server, and what goes through it does not notice."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import gateway_world
import kube_api
import namespaces
import proxy_process
import pytest
import traffic
from fakepia_world import FakePia
from gateway_process import Process
from gateway_world import FRANKFURT401, ZURICH401, ZURICH402, World
from namespaces import Namespace

from piavpn.api.gateway_config import Renewal, Server

FIRST, SECOND, ELSEWHERE = "198.18.11.1", "198.18.11.2", "198.18.13.1"
PINGS = 300


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.around(pia, new_namespace, tmp_path) as world:
        world.tell(ZURICH401, ZURICH402)
        world.give_token()
        yield world
    pia.control.reset()
    pia.control.forget_peers()


@pytest.fixture
def api(world: World) -> Iterator[kube_api.Api]:
    with world.api() as api:
        yield api


@pytest.fixture
def gateway(world: World, api: kube_api.Api) -> Iterator[Process]:
    """A gateway whose tunnel to the first server is up, and told."""
    with world.gateway() as gateway:
        wait_for_session(api, "zurich401")
        yield gateway


def renewal(api: kube_api.Api) -> Renewal:
    """Return what the operator writes to have the present session renewed now."""
    return Renewal(api.status["session"]["publicKey"], datetime.now(UTC).replace(microsecond=0))


def renew(world: World, api: kube_api.Api, *servers: Server, grace_seconds: int = 3600) -> None:
    """Have the session at the first server replaced by one at the second."""
    wanted = servers or (ZURICH401, ZURICH402)
    world.tell(*wanted, renewal=renewal(api), grace_seconds=grace_seconds)
    wait_for_session(api, "zurich402")


def wait_for_session(api: kube_api.Api, server: str) -> None:
    namespaces.eventually(
        lambda: api.status.get("session", {}).get("server") == server,
        what=f"a session at {server} in the status",
        seconds=30,
    )


def wait_for_exit_address(api: kube_api.Api, address: str) -> None:
    namespaces.eventually(
        lambda: api.status.get("exitAddress") == address, what=f"{address} in the status"
    )


def wait_for_line(gateway: Process, line: str) -> None:
    namespaces.eventually(lambda: line in gateway.logs(), what=f"the line {line!r}", seconds=30)


def wait_for_pings(counted: traffic.Echoes) -> None:
    until = counted.sent + PINGS
    namespaces.eventually(lambda: counted.sent >= until, what=f"{PINGS} pings", seconds=60)


@pytest.mark.usefixtures("gateway")
def test_a_renewal_loses_no_packet_and_breaks_no_connection(
    world: World, api: kube_api.Api
) -> None:
    before = world.pia.control.mark_leaks()
    with traffic.echoes(world.app) as control:
        wait_for_pings(control)
    with traffic.stream(world.app) as stream, traffic.echoes(world.app) as counted:
        wait_for_pings(counted)
        assert stream.lives()
        renew(world, api)
        assert world.exit_address() == SECOND
        assert world.resolve("whoami.test") == SECOND
        wait_for_pings(counted)
        assert stream.lives()
        wait_for_exit_address(api, SECOND)
    assert (control.lost, counted.lost) == (0, 0)
    assert api.told() == ["TunnelUp", "Renewed", "ExitAddressChanged"]
    assert world.pia.control.leaks(before).packets == 0
    assert world.refused_by_lock() == 0


def test_a_proxied_connection_stays_with_the_old_session_until_it_ends(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    with proxy_process.running(world):
        namespaces.eventually(
            lambda: proxy_process.asked(world, "http://198.18.200.1/") == FIRST, what="the proxy"
        )
        with proxy_process.echo(world, "198.18.200.1") as connection:
            assert connection.answers(b"before")
            renew(world, api)
            assert proxy_process.asked(world, "http://198.18.200.1/") == SECOND
            with traffic.echoes(world.app) as counted:
                wait_for_pings(counted)
            assert connection.answers(b"after")
            assert "leaving zurich401" not in gateway.logs()
        wait_for_line(gateway, "leaving zurich401")


@pytest.mark.usefixtures("gateway")
def test_pings_to_a_dead_server_are_lost_and_counted(world: World) -> None:
    """The control of the one above: what is lost is seen."""
    with traffic.echoes(world.app) as counted:
        wait_for_pings(counted)
        world.pia.control.fail({"server": {"zurich401": "dead"}})
        wait_for_pings(counted)
        world.pia.control.reset()
    assert counted.lost > 0


def test_when_its_last_connection_has_ended_the_old_session_is_left(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    with traffic.stream(world.app) as stream:
        renew(world, api)
        assert stream.lives()
    wait_for_line(gateway, "leaving zurich401 (swiss): its last connection has ended")
    namespaces.eventually(
        lambda: not world.pod.run("ip -4 address show dev piaw0"), what="an empty slot"
    )
    assert world.exit_address() == SECOND


def test_the_grace_period_ends_the_connections_that_are_left(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    with traffic.stream(world.app) as stream:
        renew(world, api, grace_seconds=3)
        assert stream.lives()
        wait_for_line(gateway, "leaving zurich401 (swiss): the grace period is over")
        namespaces.eventually(lambda: not stream.lives(), what="the stream's end")
    assert world.exit_address() == SECOND


@pytest.mark.usefixtures("gateway")
def test_names_that_were_asked_before_a_renewal_are_known_after_it(
    world: World, api: kube_api.Api
) -> None:
    assert world.resolve("www.example.test") == "198.18.200.1"
    renew(world, api)
    misses = world.resolver_cache_misses()
    assert world.resolve("www.example.test") == "198.18.200.1"
    assert world.resolver_cache_misses() == misses
    # The control: what is not in the cache is counted.
    assert world.resolve("banner.ads.test") == "198.18.200.1"
    assert world.resolver_cache_misses() > misses


def test_a_renewal_that_fails_changes_nothing_and_is_told(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    with traffic.stream(world.app) as stream:
        with world.pia.control.failing({"addKey": {"zurich402": "refuse"}}):
            world.tell(ZURICH401, ZURICH402, renewal=renewal(api))
            namespaces.eventually(
                lambda: api.condition("Registered")["reason"] == "RenewalFailing",
                what="the reason in the status",
            )
            assert api.condition("TunnelUp")["status"] == "True"
            assert world.exit_address() == FIRST
        wait_for_session(api, "zurich402")
        assert stream.lives()
    assert api.condition("Registered")["reason"] == "Registered"
    assert "TunnelDown" not in api.told()
    assert gateway.started.poll() is None


@pytest.mark.usefixtures("gateway")
def test_a_renewal_uses_the_token_that_there_is_and_waits_for_another_where_pia_rejects_it(
    world: World, api: kube_api.Api
) -> None:
    world.pia.control.revoke_tokens()
    with traffic.stream(world.app) as stream:
        world.tell(ZURICH401, ZURICH402, renewal=renewal(api))
        namespaces.eventually(
            lambda: api.condition("Registered")["reason"] == "TokenRejected",
            what="the reason in the status",
        )
        assert api.condition("TunnelUp")["status"] == "True"
        assert world.exit_address() == FIRST
        world.give_token()
        wait_for_session(api, "zurich402")
        assert stream.lives()
    assert "TunnelDown" not in api.told()


@pytest.mark.usefixtures("gateway")
def test_without_another_server_the_session_is_renewed_where_it_is(
    world: World, api: kube_api.Api
) -> None:
    old = api.status["session"]["publicKey"]
    world.tell(ZURICH401, renewal=renewal(api))
    namespaces.eventually(
        lambda: api.status["session"]["publicKey"] != old, what="another key", seconds=20
    )
    assert api.status["session"]["link"] == "piaw1"
    assert world.exit_address() == FIRST


def test_both_sessions_survive_a_restart_of_the_gateway(world: World, api: kube_api.Api) -> None:
    with world.gateway():
        wait_for_session(api, "zurich401")
        stream = traffic.Stream(world.app)
        renew(world, api, grace_seconds=20)
        wait_for_exit_address(api, SECOND)
    told = list(api.told())
    with world.gateway() as second:
        # From its first moment on: the rules it loads anew break nothing.
        while not world.ready():
            assert stream.lives()
        assert world.exit_address() == SECOND
        assert world.resolve("whoami.test") == SECOND
        assert "adopted the session at zurich402 (swiss)" in second.logs()
        assert "adopted the session at zurich401 (swiss)" in second.logs()
        wait_for_line(second, "leaving zurich401 (swiss): the grace period is over")
        namespaces.eventually(lambda: not stream.lives(), what="the stream's end")
        assert world.exit_address() == SECOND
    stream.close()
    assert api.told() == told
    calls = world.pia.control.state().servers
    assert [len(calls[cn].add_key_calls) for cn in ("zurich401", "zurich402")] == [1, 1]


def test_when_the_new_session_dies_the_old_one_is_taken_back(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    with traffic.stream(world.app) as stream:
        renew(world, api, ZURICH401, ZURICH402)
        world.tell(ZURICH401, ZURICH402)
        with world.pia.control.failing({"server": {"zurich402": "dead"}}):
            wait_for_line(gateway, "back on the session at zurich401 (swiss)")
            namespaces.eventually(lambda: world.exit_address() == FIRST, what="the old way out")
            assert stream.lives()


@pytest.mark.usefixtures("gateway")
def test_another_location_is_gone_to_without_a_break(world: World, api: kube_api.Api) -> None:
    with traffic.stream(world.app) as stream, traffic.echoes(world.app) as counted:
        world.tell(FRANKFURT401, locations=("de-frankfurt",))
        wait_for_session(api, "frankfurt401")
        assert world.exit_address() == ELSEWHERE
        wait_for_pings(counted)
        assert stream.lives()
    assert counted.lost == 0
    assert "TunnelDown" not in api.told()


def test_a_tunnel_goes_to_a_fallback_location_and_returns_without_a_break(
    world: World, api: kube_api.Api, gateway: Process
) -> None:
    locations = ("swiss", "de-frankfurt")
    world.tell(ZURICH401, ZURICH402, FRANKFURT401, locations=locations, return_seconds=4)
    with world.pia.control.failing({"server": {"zurich401": "dead", "zurich402": "dead"}}):
        wait_for_session(api, "frankfurt401")
        assert world.exit_address() == ELSEWHERE
        stream = traffic.Stream(world.app)
        wait_for_line(gateway, "(Return)")
    with traffic.echoes(world.app) as counted:
        namespaces.eventually(
            lambda: world.exit_address() in (FIRST, SECOND), what="the return", seconds=60
        )
        wait_for_pings(counted)
        assert stream.lives()
    stream.close()
    assert counted.lost == 0


def test_a_server_that_answers_and_forwards_nothing_is_left(world: World) -> None:
    with (
        world.pia.control.failing({"server": {"zurich401": "isolated"}}),
        world.api() as api,
        world.gateway() as gateway,
    ):
        wait_for_session(api, "zurich401")
        wait_for_session(api, "zurich402")
        assert "WARNING zurich401 (swiss) answers pings and forwards nothing" in gateway.logs()
        assert world.exit_address() == SECOND


@pytest.mark.usefixtures("gateway")
def test_the_exit_address_is_learnt_through_the_tunnel(world: World, api: kube_api.Api) -> None:
    wait_for_exit_address(api, FIRST)
    renew(world, api)
    wait_for_exit_address(api, SECOND)


def test_addresses_of_the_tunnel_may_lie_in_ranges_of_the_cluster(world: World) -> None:
    for network in ("10.96.0.0/12", "10.0.0.0/10"):
        world.pod.run(f"ip route add {network} via {gateway_world.CLUSTER} dev eth0")
    world.tell(FRANKFURT401)  # its address in the tunnel is 10.96.128.1, its resolver 10.0.0.243
    before = world.pia.control.mark_leaks()
    with world.api(), world.gateway():
        world.wait_until_up()
        assert world.exit_address() == ELSEWHERE
        assert world.resolve("whoami.test") == ELSEWHERE
        assert world.resolve("whoami.test", tcp=True) == ELSEWHERE
    assert world.pia.control.leaks(before).packets == 0
    assert world.refused_by_lock() == 0


def test_with_the_api_down_a_gateway_restarts_renews_and_fails_over(world: World) -> None:
    """All that it needs lies in its pod: sessions, configuration, token."""
    with world.api() as api, world.gateway():
        wait_for_session(api, "zurich401")
        appointed = renewal(api)
    with world.gateway() as second:
        world.wait_until_up()
        assert world.exit_address() == FIRST
        assert "adopted the session at zurich401 (swiss)" in second.logs()
        world.tell(ZURICH401, ZURICH402, renewal=appointed)
        namespaces.eventually(
            lambda: world.exit_address() == SECOND, what="the renewal", seconds=20
        )
        wait_for_line(second, "leaving zurich401 (swiss)")
        with world.pia.control.failing({"server": {"zurich402": "dead"}}):
            namespaces.eventually(
                lambda: world.exit_address() == FIRST, what="the other server", seconds=30
            )
