"""A week of apps that come and go leaves nothing behind in the operator's memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_world import World, running

from piavpn import controller, kube

_CYCLES, _APPS = 4, 8
_FOLDER = Path(str(controller.__file__)).parent


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.make_tunnel()
        yield world


def come_and_go(world: World, cycle: int) -> None:
    """Make apps of names that never were, and remove them with all that was made of them."""
    names = [f"app-{cycle}-{number}" for number in range(_APPS)]
    for name in names:
        world.service(name)
    world.pass_over("home")
    for name in names:
        world.run_pod(name, "media")
    world.pass_over("home")
    for name in names:
        assert world.service_condition("Ready", name) == ("True", "Ready")
        world.api.remove(kube.VPN_SERVICE_CONTAINERS, name, "media")
        world.api.remove(kube.STATEFUL_SETS, name, "media")
        world.api.remove(kube.SERVICES, name, "media")
        world.api.remove(kube.NETWORK_POLICIES, f"piavpn-{name}", "media")
        world.api.remove(kube.PODS, f"{name}-0", "media")
    world.pass_over("home")
    world.api.forget()


def held() -> int:
    """Return the bytes that the operator's own modules have and hold."""
    gc.collect()
    ours = tracemalloc.Filter(inclusive=True, filename_pattern=f"{_FOLDER}/*")
    found = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
    return sum(statistic.size for statistic in found)


def test_apps_that_come_and_go_leave_nothing_behind(tunnel: World) -> None:
    tracemalloc.start()
    try:
        for cycle in range(_CYCLES):
            come_and_go(tunnel, cycle)
        before = held()
        for cycle in range(_CYCLES, 3 * _CYCLES):
            come_and_go(tunnel, cycle)
        growth = held() - before
    finally:
        tracemalloc.stop()
    # An app that is remembered takes more than two thousand bytes.
    assert growth < 2 * _CYCLES * _APPS * 400
