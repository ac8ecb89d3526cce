"""What may go wrong with a forwarded port: it is told, and the tunnel goes on."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import gateway_world
import pytest
import traffic
from fakepia_world import FakePia
from gateway_world import ZURICH401, ZURICH402, World
from namespaces import Namespace
from port_receiver import HEARD, RECEIVER, bound, dial, listening, ports_at, refused


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.logged_in(pia, new_namespace, tmp_path) as world:
        yield world


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("unauthorized", "Unauthorized"),
        ("hang", "Unreachable"),
        ("http_500", "Unreachable"),
        ("busy", "PortBusy"),
    ],
)
def test_trouble_is_told_leaves_the_tunnel_alone_and_passes(
    world: World, failure: str, reason: str
) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        with world.pia.control.failing({"portForward": {"*": failure}}):
            told = refused(api, reason)
            assert world.ready()
            assert world.exit_address() == "198.18.11.1"
        assert "zurich401" in told["message"]
        bound(api)
    assert len(world.pia.control.state().servers["zurich401"].add_key_calls) == 1


def test_a_region_without_port_forwarding_is_told(world: World) -> None:
    chicago = gateway_world.server(gateway_world.world.CHICAGO401, "us_chicago")
    world.tell(chicago, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        told = refused(api, "PortForwardingNotOffered")
        assert world.ready()
    assert "name a region that does in spec.serverLocation" in told["message"]


def test_a_port_that_a_server_does_not_take_any_more_is_replaced(world: World) -> None:
    world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER)
    with world.api() as api:
        with world.gateway():
            port = bound(api)
        with world.pia.control.failing({"portForward": {"*": "busy"}}), world.gateway():
            refused(api, "PortBusy")
            world.pia.control.fail({"portForward": None})
            another = bound(api, but=port)
            with listening(world, another):
                assert dial(world, another) == HEARD


def test_a_server_where_every_port_is_busy_is_left_without_a_break(world: World) -> None:
    world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER)
    with (
        world.pia.control.failing({"portForward": {"zurich401": "busy"}}),
        world.api() as api,
        world.gateway(),
    ):
        told = refused(api, "PortBusy")
        with traffic.stream(world.app) as stream:
            port = bound(api)
            assert port in ports_at(world, "zurich402")
            with listening(world, port):
                assert dial(world, port, address="198.18.11.2") == HEARD
            assert stream.lives()
        assert "TunnelDown" not in api.told()
    assert "zurich401" in told["message"]
