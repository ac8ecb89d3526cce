"""Pods that come and go leave nothing behind in the node agent's memory."""

from __future__ import annotations

import contextlib
import gc
import pathlib
import tracemalloc
from collections.abc import Iterator

import kube_server
import namespaces
import pytest
from node_agent import Agent
from nodeworld import World

import piavpn
from piavpn import kube
from piavpn.node import canonical

_CYCLES, _PODS = 2, 3
_FOLDER = pathlib.Path(str(piavpn.__file__)).parent


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(
    world: World,
    api: kube_server.Api,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Agent]:
    namespaces.cni_plugins()
    # The memory of listings has a bound of its own, which it is to reach before we look.
    monkeypatch.setattr(canonical, "_KEPT", 16 * 1024)
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as made:
        yield made


def come_and_go(agent: Agent, api: kube_server.Api, cycle: int) -> None:
    """Attach and test pods of apps of names that never were, one by one, and end them."""
    for number in range(_PODS):
        name = f"app-{cycle}-{number}"
        agent.add_app(name)
        pod = agent.world.pod()
        agent.schedule(pod, name)
        agent.run_in_pod(pod, pod.seen.uid)
        agent.make_pass()
        agent.test_for_leaks()
        agent.make_pass()
        told = api.get(kube.PODS, f"{name}-0", "media")["status"]["conditions"]
        statuses = {item["type"]: item["status"] for item in told}
        assert statuses["piavpn.dev/Confined"] == statuses["piavpn.dev/LeakFree"] == "True"
        agent.metrics()
        agent.world.end(pod)
        pod.run("ip link del vpn0; ip link del eth0")
        api.remove(kube.PODS, f"{name}-0", "media")
        api.remove(kube.VPN_SERVICE_CONTAINERS, name, "media")
        agent.make_pass()
    api.forget()


def held() -> int:
    """Return the bytes that the product's own modules have and hold."""
    gc.collect()
    ours = tracemalloc.Filter(inclusive=True, filename_pattern=f"{_FOLDER}/*")
    found = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
    return sum(statistic.size for statistic in found)


def open_sockets() -> int:
    """Return how many this process has: the agent listens to each pod's namespace by two."""
    opened = pathlib.Path("/proc/self/fd").iterdir()
    return sum("socket:" in str(descriptor.resolve()) for descriptor in opened)


def test_pods_that_come_and_go_leave_nothing_behind(
    agent: Agent, api: kube_server.Api, caplog: pytest.LogCaptureFixture
) -> None:
    tracemalloc.start()
    try:
        for cycle in range(_CYCLES):
            come_and_go(agent, api, cycle)
        caplog.clear()  # pytest keeps all that the agent logs
        before, sockets = held(), open_sockets()
        for cycle in range(_CYCLES, 3 * _CYCLES):
            come_and_go(agent, api, cycle)
        caplog.clear()
        # A pod that is remembered by any part of the agent takes more than five hundred bytes. The
        # agent's threads go on, and hold some for a moment.
        most = before + 2 * _CYCLES * _PODS * 300
        namespaces.eventually(lambda: held() < most, what="memory as it was")
    finally:
        tracemalloc.stop()
    assert open_sockets() == sockets
