"""The gateway's HTTP proxy: through the tunnel or not at all, and never into the cluster."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import gateway_world
import namespaces
import proxy_process
import pytest
from fakepia_world import FakePia
from gateway_world import CLUSTER, GATEWAY, HOST, POD_ADDRESS, ZURICH401, ZURICH402, World
from namespaces import Namespace
from proxy_process import asked, status

REFUSED = ("500", "502", "503", "000")


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with (
        gateway_world.around(pia, new_namespace, tmp_path) as world,
        proxy_process.running(world),
        world.api(),
        world.gateway(),
    ):
        world.tell(ZURICH401, ZURICH402)
        world.give_token()
        world.wait_until_up()
        yield world
    pia.control.reset()
    pia.control.forget_peers()


def test_requests_are_seen_with_the_server_s_address_and_names_resolved_in_the_tunnel(
    world: World,
) -> None:
    before = world.pia.control.mark_leaks()
    assert asked(world, "http://198.18.200.1/") == "198.18.11.1"
    assert asked(world, "http://198.18.200.1/", tunnelled=True) == "198.18.11.1"
    # The cluster's DNS of this world would answer 192.0.2.66.
    assert asked(world, "http://www.example.test/", tunnelled=True) == "198.18.11.1"
    assert world.pia.control.leaks(before).packets == 0
    assert world.refused_by_lock() == 0


@pytest.mark.parametrize(
    "inside",
    [
        f"{CLUSTER}:7777",
        f"{HOST}:7777",
        "10.100.0.10:7777",
        f"{GATEWAY}:7777",
        f"{POD_ADDRESS}:8080",
        "127.0.0.1:8080",
        "kubernetes.default.svc.cluster.local:7777",
        "0.0.0.0:8080",
    ],
)
def test_what_is_inside_is_not_reached(world: World, inside: str) -> None:
    serving = "python3 -m http.server --directory /nonexistent 7777"
    with contextlib.ExitStack() as servers:
        for namespace in (world.node, world.app, world.pod):
            servers.enter_context(namespace.process(*serving.split()))
            listening = lambda n=namespace: "7777" in n.run("ss --listening --tcp --numeric")  # noqa: E731
            namespaces.eventually(listening, what="a server")
        dropped = world.dropped("dropped_proxied")
        assert status(world, f"http://{inside}/") in REFUSED
        if "cluster" not in inside:
            assert world.dropped("dropped_proxied") > dropped


def test_a_dead_tunnel_closes_it(world: World) -> None:
    before = world.pia.control.mark_leaks()
    world.pia.control.fail({"server": {"zurich401": "dead", "zurich402": "dead"}})
    namespaces.eventually(lambda: not world.ready(), what="a gateway that is not ready")
    assert status(world, "http://198.18.200.1/") in REFUSED
    assert status(world, "http://www.example.test/") in REFUSED
    assert world.pia.control.leaks(before).packets == 0
    assert world.refused_by_lock() == 0
    # The control: what goes out by the node is seen.
    world.node.run("curl --silent --max-time 5 http://198.18.200.1/")
    assert world.pia.control.leaks(before).packets > 0


def test_it_goes_on_by_the_next_server_when_one_dies(world: World) -> None:
    world.pia.control.fail({"server": {"zurich401": "dead"}})
    namespaces.eventually(
        lambda: asked(world, "http://198.18.200.1/") == "198.18.11.2",
        what="another server",
        seconds=20,
    )
