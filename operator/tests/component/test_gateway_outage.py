"""The node loses the Internet for a while: the session, and what goes through it, outlives that."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import gateway_world
import kube_api
import namespaces
import pytest
import traffic
from fakepia_world import FakePia
from gateway_process import Process
from gateway_world import FRANKFURT401, ZURICH401, ZURICH402, World
from namespaces import Namespace

FIRST = "198.18.11.1"


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.logged_in(pia, new_namespace, tmp_path) as world:
        world.tell(ZURICH401, ZURICH402, FRANKFURT401, locations=("swiss", "de-frankfurt"))
        yield world


def wait_for_session(api: kube_api.Api) -> str:
    namespaces.eventually(lambda: "session" in api.status, what="a session", seconds=30)
    return str(api.status["session"]["publicKey"])


def wait_for_attempts(gateway: Process) -> None:
    """Wait until servers of both locations were tried."""
    for server in ("zurich402", "frankfurt401"):
        line = f"registering at {server}"
        namespaces.eventually(lambda line=line: line in gateway.logs(), what=line, seconds=40)


def registrations(world: World) -> int:
    """Return how often a key was registered at the first server: a second one ends the first."""
    return len(world.pia.control.state().servers["zurich401"].add_key_calls)


def test_an_outage_of_the_nodes_uplink_breaks_no_connection(world: World) -> None:
    before = world.pia.control.mark_leaks()
    with world.api() as api, world.gateway() as gateway:
        session = wait_for_session(api)
        with traffic.stream(world.app) as stream:
            assert stream.lives()
            with world.unplugged():
                namespaces.eventually(lambda: "session" not in api.status, what="a lost session")
                assert api.condition("TunnelUp")["reason"] == "ServerSilent"
                assert not world.ready()
                wait_for_attempts(gateway)
            assert wait_for_session(api) == session
            assert stream.lives()
        assert world.exit_address() == FIRST
        assert world.resolve("whoami.test") == FIRST
        assert "zurich401 (swiss) answers again" in gateway.logs()
        assert api.told() == ["TunnelUp", "TunnelDown", "TunnelUp"]
    assert registrations(world) == 1
    assert world.pia.control.leaks(before).packets == 0


def test_after_an_outage_the_preferred_location_comes_first_as_before(world: World) -> None:
    with world.api() as api, world.gateway() as gateway:
        session = wait_for_session(api)
        with world.unplugged():
            wait_for_attempts(gateway)
        assert wait_for_session(api) == session
        with world.pia.control.failing({"server": {"zurich401": "dead"}}):
            namespaces.eventually(
                lambda: api.status.get("session", {}).get("server") == "zurich402",
                what="the preferred location's other server",
                seconds=30,
            )


def test_a_process_that_starts_during_an_outage_goes_on_with_the_session(world: World) -> None:
    with world.api() as api, world.gateway():
        session = wait_for_session(api)
    with world.api() as api, traffic.stream(world.app) as stream:
        with world.unplugged(), world.gateway() as second:
            wait_for_attempts(second)
            second.kill()
        with world.gateway():
            assert wait_for_session(api) == session
            assert stream.lives()
    assert registrations(world) == 1


def test_a_server_that_knows_the_key_no_more_is_registered_at_anew(world: World) -> None:
    world.tell(ZURICH401)
    with world.api() as api, world.gateway():
        session = wait_for_session(api)
        world.pia.control.forget_peers("zurich401")
        namespaces.eventually(
            lambda: api.status.get("session", {}).get("publicKey", session) != session,
            what="another session",
            seconds=40,
        )
        assert world.exit_address() == FIRST
