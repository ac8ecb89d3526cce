"""The operator may end at any moment: the next one makes of what it finds the very same cluster.

After each call: between two of them nothing of the cluster changes, and what a process knew by
itself is lost with it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import kube_server
import pia_server
import pytest
from controller_world import AUTHORITY, GATEWAY, LOCAL, NAMESPACE, Pia, World, granted
from kube_calls import Call
from kube_server import SilenceError

from piavpn import kube
from piavpn.controller import reconciler

CHILDREN = (
    kube.STATEFUL_SETS,
    kube.SERVICES,
    kube.CONFIG_MAPS,
    kube.SECRETS,
    kube.NETWORK_POLICIES,
    kube.PERSISTENT_VOLUME_CLAIMS,
    kube.PODS,
    kube.PIA_VPNS,
    kube.VPN_SERVICE_CONTAINERS,
)
OF_THE_MOMENT = {
    "uid",
    "generation",
    "resourceVersion",
    "lastTransitionTime",
    "tokenTime",
    "time",
    "piavpn.dev/session-inputs",
}
"""What two runs differ in: times, and what is counted."""
_AT_ONCE = 8
PODS = ((GATEWAY, NAMESPACE), ("web", "media"))


class Death:
    """Ends the operator's way to the API server after so many calls, as its end does."""

    def __init__(self, api: kube_server.Api, calls: int | None) -> None:
        self._left = itertools.count() if calls is None else iter(range(calls))
        self.happened = threading.Event()
        api.fault = self._fault

    def _fault(self, _call: Call) -> None:
        if next(self._left, None) is None:
            self.happened.set()
            raise SilenceError


def test_an_operator_that_ends_after_any_of_its_calls_is_carried_on_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "_DEBOUNCE_SECONDS", 0.001)
    certificate = AUTHORITY.issue(tmp_path, "www", names=(LOCAL,))
    pia = Pia()
    pia.door.set()
    with (
        pia_server.serving(certificate, pia.reply) as front,
        futures.ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        expected = outcome(pia, front.port, None)
        assert {"web", GATEWAY} <= expected["statefulsets"].keys()
        assert all(expected.values())
        for first in itertools.count(step=_AT_ONCE):
            after = range(first, first + _AT_ONCE)
            found = list(pool.map(lambda calls: outcome(pia, front.port, calls), after))
            for calls, objects in zip(after, found, strict=True):
                for kind in expected if objects is not None else ():
                    assert objects[kind] == expected[kind], f"ended after {calls} calls"
            if None in found:
                break
    assert first > _AT_ONCE


def outcome(pia: Pia, port: int, calls: int | None) -> Any:
    """Return what becomes of a cluster whose first operator ends after so many calls.

    None where it needed fewer.
    """
    with kube_server.serving(granted) as api:
        declared(api, pia, port)
        death = Death(api, calls)
        with operator(api, pia, port) as first:
            settle(first, death)
        if calls is not None and not death.happened.is_set():
            return None
        if calls is not None:
            # Before the next operator starts: its first calls are not to meet the last one's end.
            life = Death(api, None)
            with operator(api, pia, port) as second:
                settle(second, life)
        return snapshot(api)


def declared(api: kube_server.Api, pia: Pia, port: int) -> None:
    """Put all that users say: a tunnel with a proxy, and an app with a claim, a port and a hook."""
    user = World(api, pia, port)
    user.node_and_ranges()
    user.credentials()
    user.vpn(httpProxy={"port": 8888})
    user.service(
        mounts=[{"path": "/config", "size": "1Gi"}],
        receiveForwardedPort={},
        onPortForwarded={"client": "qBittorrent"},
    )


@contextlib.contextmanager
def operator(api: kube_server.Api, pia: Pia, port: int) -> Iterator[World]:
    world = World(api, pia, port)
    world.start()
    try:
        yield world
    finally:
        world.close()


def settle(world: World, death: Death) -> None:
    """Do what everyone else does, until nothing is left to do or the operator has ended."""
    deadline, seen = time.monotonic() + 30, -1
    while not death.happened.is_set():
        assert time.monotonic() < deadline, world.api.all(kube.PIA_VPNS)
        if len(world.api.changes) != seen:
            seen = len(world.api.changes)
            world.loop.wake("home")
        run_pods(world)
        if is_settled(world) and changes_nothing_more(world):
            break
        death.happened.wait(0.005)


def run_pods(world: World) -> None:
    made, running = world.names_of(kube.STATEFUL_SETS), world.names_of(kube.PODS)
    for name, namespace in PODS:
        if name in made and f"{name}-0" not in running:
            world.run_pod(name, namespace)
            if name == GATEWAY:
                world.told(kube.PIA_VPNS, "home", None, "Registered", "TunnelUp")
            world.loop.wake("home")


def changes_nothing_more(world: World) -> bool:
    before = len(world.api.changes)
    world.pass_over("home")
    return len(world.api.changes) == before


def is_settled(world: World) -> bool:
    ready = ("True", "Ready")
    return (
        world.vpn_condition("Ready") == ready
        and world.vpn_condition("Authenticated") == ("True", "LoggedIn")
        and world.vpn_condition("ServersKnown") == ("True", "ServersFound")
        and world.service_condition("Ready") == ready
        and {"piavpn-web"} <= world.names_of(kube.NETWORK_POLICIES)
    )


def snapshot(api: kube_server.Api) -> dict[str, dict[str, Any]]:
    return {
        kind.plural: {item["metadata"]["name"]: timeless(item) for item in api.all(kind)}
        for kind in CHILDREN
    }


def timeless(value: Any) -> Any:
    """Return the value without what no two runs have in common."""
    if isinstance(value, list):
        items = [timeless(item) for item in value]
        return sorted(items, key=str) if items and "status" in items[0] else items
    if not isinstance(value, dict):
        return value
    return {key: timeless(item) for key, item in value.items() if key not in OF_THE_MOMENT}
