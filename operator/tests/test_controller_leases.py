"""The node agents' Leases, and what becomes of conditions when one is not renewed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kube_server
import pytest
from controller_world import GATEWAY, NAMESPACE, World, eventually, running

from piavpn import kube
from piavpn.controller import heartbeats, leases


@pytest.fixture
def app(tmp_path: Path) -> Iterator[World]:
    """A tunnel with an app, both on node n1."""
    with running(tmp_path) as world:
        world.make_tunnel()
        world.make_app()
        yield world


def renewed(world: World, ago: timedelta) -> None:
    """Let the operator see a Lease that node n1's agent renewed so long ago."""
    moment = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    world.api.put(
        kube.LEASES,
        "piavpn-node-agent-n1",
        NAMESPACE,
        metadata={"labels": {"piavpn.dev/node-agent": ""}},
        spec={"leaseDurationSeconds": 40, "renewTime": moment},
    )
    world.leases.look()


def test_what_a_silent_agent_said_is_unknown_until_it_is_heard_of_again(app: World) -> None:
    assert app.service_condition("Confined") == ("True", "Fine")
    renewed(app, ago=timedelta(minutes=10))
    silent = ("Unknown", "NodeAgentSilent")
    eventually(lambda: app.service_condition("Ready") == silent)
    assert app.service_condition("Confined") == silent
    assert app.vpn_condition("GatewayAttached") == app.vpn_condition("Ready") == silent
    renewed(app, ago=timedelta(0))
    eventually(lambda: app.service_condition("Ready") == ("True", "Ready"))
    assert app.service_condition("Confined") == ("True", "Fine")
    assert app.vpn_condition("Ready") == ("True", "Ready")


def test_a_silence_is_an_event_and_so_is_its_end(app: World) -> None:
    renewed(app, ago=timedelta(minutes=10))
    eventually(lambda: app.service_condition("Ready") == ("Unknown", "NodeAgentSilent"))
    renewed(app, ago=timedelta(0))
    eventually(lambda: app.service_condition("Ready") == ("True", "Ready"))
    wanted = [
        ("Normal", "Confined is True"),
        ("Warning", "Confined is Unknown"),
        ("Normal", "Confined is True"),
    ]
    # An Event follows the status that it tells of.
    eventually(lambda: confined_events(app) == wanted)


def confined_events(world: World) -> list[tuple[str, str]]:
    return [
        (event["type"], event["message"].partition(":")[0])
        for event in world.api.all(kube.EVENTS)
        if event["involvedObject"]["name"] == "web" and "Confined" in event["message"]
    ]


def test_looks_that_find_nothing_new_make_no_pass(app: World) -> None:
    renewed(app, ago=timedelta(0))
    app.pass_over("home")
    before = len(app.api.calls)
    renewed(app, ago=timedelta(0))
    app.leases.look()
    app.pass_over("another")
    assert [call.verb for call in app.api.calls[before:] if call.resource == "leases"] == [
        "list"
    ] * 2
    assert not [call for call in app.api.calls[before:] if call.resource == "piavpns/status"]


def test_an_api_server_that_does_not_answer_makes_no_agent_silent(app: World) -> None:
    renewed(app, ago=timedelta(0))
    app.api.fault = lambda call: (
        kube_server.RefusalError(503, "not now") if call.resource == "leases" else None
    )
    with pytest.raises(kube.KubeError, match="not now"):
        app.leases.look()
    app.api.fault = lambda _call: None
    app.pass_over("home")
    assert app.service_condition("Confined") == ("True", "Fine")


def test_a_look_that_fails_in_any_other_way_is_not_the_last(
    app: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks() -> int:
        return sum(call.resource == "leases" for call in app.api.calls)

    renewed(app, ago=timedelta(0))
    app.api.put(kube.LEASES, "piavpn-node-agent-n1", NAMESPACE, spec={"renewTime": "yesterday"})
    monkeypatch.setattr(leases, "_POLL_SECONDS", 0.01)
    before, stop = looks(), threading.Event()
    thread = threading.Thread(target=app.leases.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: looks() > before + 2)
    finally:
        stop.set()
        thread.join()


def test_a_node_that_no_pod_is_on_any_more_needs_no_agent(
    app: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeats, "_ABSENT_SECONDS", -1.0)  # silent once it is missed
    app.api.remove(kube.PODS, "web-0", "media")
    app.pass_over("home")
    app.leases.look()
    assert "node n1 is silent" in caplog.text  # the gateway is there still
    app.api.remove(kube.PODS, f"{GATEWAY}-0", NAMESPACE)
    app.pass_over("home")
    app.leases.look()
    caplog.clear()
    app.leases.look()
    assert caplog.text == ""
    assert app.leases.silent("home", ["n1"]) == {}


def test_an_app_that_loses_its_pod_is_not_confined(app: World) -> None:
    app.api.remove(kube.PODS, "web-0", "media")
    app.pass_over("home")
    assert app.service_condition("Confined") == ("False", "NoPod")


def test_a_pod_that_only_bears_the_app_s_labels_does_not_speak_for_it(app: World) -> None:
    labels = app.api.get(kube.PODS, "web-0", "media")["metadata"]["labels"]
    app.api.put(kube.PODS, "web-of-mallory", "media", metadata={"labels": labels})
    app.pass_over("home")
    assert app.service_condition("Confined") == ("True", "Fine")
    assert app.names_of(kube.PODS) >= {"web-0", "web-of-mallory"}
