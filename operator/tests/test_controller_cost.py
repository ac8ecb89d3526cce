"""What a pass asks of the API server when nothing has changed: some lists, however many apps."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_world import GATEWAY, NAMESPACE, World, running
from kube_calls import Call

from piavpn import kube


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.make_tunnel()
        world.vpn(httpProxy={"port": 8888})
        world.pass_over("home")
        world.run_pod(GATEWAY, NAMESPACE)
        yield world


def make_apps(world: World, count: int) -> None:
    for number in range(count):
        mounts = [{"path": "/config", "size": "1Gi"}]
        receives = {"receiveForwardedPort": {}} if number == 0 else {}
        world.service(f"app-{number}", mounts=mounts, **receives)
    world.pass_over("home")
    for number in range(count):
        world.run_pod(f"app-{number}", "media")
    world.pass_over("home", "home")


def calls_of_a_pass(world: World) -> list[Call]:
    """Return the requests of one pass over `home`, the longest: another VPN has no apps.

    Each pass begins by a list of the PiaVpns.
    """
    before = len(world.api.calls)
    world.pass_over("home")
    calls = world.api.calls[before:]
    begins = [index for index, call in enumerate(calls) if call.resource == "piavpns"]
    passes = itertools.pairwise([*begins, len(calls)])
    return max((calls[first:last] for first, last in passes), key=len)


def test_an_idle_pass_costs_as_many_calls_for_forty_apps_as_for_one(tunnel: World) -> None:
    make_apps(tunnel, 1)
    one = calls_of_a_pass(tunnel)
    make_apps(tunnel, 40)
    forty = calls_of_a_pass(tunnel)
    assert {call.verb for call in [*one, *forty]} == {"get", "list"}
    assert len(forty) == len(one) < 30


def test_apps_that_wait_for_their_pods_cost_one_list_of_events(tunnel: World) -> None:
    for number in range(5):
        tunnel.service(f"app-{number}")
    tunnel.pass_over("home")
    asked = [call.fields for call in calls_of_a_pass(tunnel) if call.resource == "events"]
    assert asked == ["involvedObject.kind=StatefulSet"]


def test_a_pass_reads_nothing_of_other_vpns_apps(tunnel: World) -> None:
    make_apps(tunnel, 2)
    lists = {
        (call.selector, call.fields)
        for call in calls_of_a_pass(tunnel)
        if call.resource in {"pods", "vpnservicecontainers"}
    }
    assert lists == {
        ("", "spec.vpnRef.name=home"),
        ("piavpn.dev/vpn=home", ""),
        ("piavpn.dev/gateway", ""),
    }


def test_a_vpn_that_is_woken_again_and_again_rests_for_as_long_as_its_passes_take(
    tunnel: World,
) -> None:
    begun: list[float] = []

    def slow(call: Call) -> None:
        if call.fields == "spec.vpnRef.name=home":
            begun.append(time.monotonic())
            time.sleep(0.5)

    tunnel.api.fault = slow
    while len(begun) < 3:
        tunnel.loop.wake("home")
        time.sleep(0.01)
    assert [later - before > 0.9 for before, later in itertools.pairwise(begun)] == [True, True]


def test_what_was_touched_is_written_again_and_nothing_else(tunnel: World) -> None:
    make_apps(tunnel, 3)
    tunnel.api.put(kube.SERVICES, "app-1", "media", spec={"selector": {"app": "mine"}})
    before = len(tunnel.api.calls)
    tunnel.pass_over("home")
    written = [call for call in tunnel.api.calls[before:] if call.verb not in {"get", "list"}]
    assert [(call.verb, call.resource, call.name) for call in written] == [
        ("patch", "services", "app-1")
    ]


def test_another_operator_writes_all_of_it_once(tunnel: World) -> None:
    """Fields that its version does not set any more are dropped by that."""
    make_apps(tunnel, 1)
    tunnel.close()
    before = len(tunnel.api.calls)
    another = World(tunnel.api, tunnel.pia, 0)
    another.start()
    with contextlib.closing(another):
        another.pass_over("home")
    written = {call.name for call in tunnel.api.calls[before:] if call.verb == "patch"}
    assert {GATEWAY, "app-0", "piavpn-app-0", "app-0.config", "home"} <= written
