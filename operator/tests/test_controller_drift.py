"""What somebody deletes or edits of what was made comes back as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_world import GATEWAY, NAMESPACE, World, running
from kube_watch_server import Server, eventually, item, line, listed, serving
from kubernetes import client

from piavpn import kube
from piavpn.controller import watches

PROXY = "piavpn-proxy-home"
CHILDREN = [
    (kube.STATEFUL_SETS, GATEWAY, NAMESPACE, {"spec": {"replicas": 3}}),
    (kube.CONFIG_MAPS, GATEWAY, NAMESPACE, {"data": {"config.json": "{}"}}),
    (kube.SERVICES, PROXY, NAMESPACE, {"spec": {"selector": {"app": "mine"}}}),
    (kube.NETWORK_POLICIES, PROXY, NAMESPACE, {"spec": {"ingress": [{}]}}),
    (kube.SECRETS, "piavpn-ports", NAMESPACE, {"metadata": {"labels": None}}),
    (kube.STATEFUL_SETS, "web", "media", {"spec": {"template": {"spec": {}}}}),
    (kube.SERVICES, "web", "media", {"spec": {"selector": {"app": "mine"}}}),
    (kube.NETWORK_POLICIES, "piavpn-web", "media", {"spec": {"egress": [{}]}}),
    (kube.PERSISTENT_VOLUME_CLAIMS, "web.config", "media", {"spec": {}}),
]
"""All that is made, where it is, and what somebody does to it."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[World]:
    """A tunnel with a proxy, and an app with a claim, ports and the forwarded one."""
    with running(tmp_path) as world:
        world.make_tunnel()
        world.vpn(httpProxy={"port": 8888})
        world.pass_over("home")
        world.run_pod(GATEWAY, NAMESPACE)
        world.service(mounts=[{"path": "/config", "size": "1Gi"}], receiveForwardedPort={})
        world.pass_over("home")
        world.run_pod("web", "media")
        world.pass_over("home")
        yield world


def made(world: World, kind: kube.Kind, name: str, namespace: str) -> dict[str, Any]:
    """Return the object without what says which one it is."""
    found = world.api.get(kind, name, namespace)
    for field in ("uid", "generation", "resourceVersion"):
        found["metadata"].pop(field)
    return found


@pytest.mark.parametrize(("kind", "name", "namespace", "edit"), CHILDREN)
def test_what_is_deleted_or_edited_comes_back(
    app: World, kind: kube.Kind, name: str, namespace: str, edit: dict[str, Any]
) -> None:
    before = made(app, kind, name, namespace)
    app.api.put(kind, name, namespace, **edit)
    app.pass_over("home")
    assert made(app, kind, name, namespace) == before
    app.api.remove(kind, name, namespace)
    app.pass_over("home")
    assert made(app, kind, name, namespace) == before


def test_nothing_is_made_that_is_not_among_these(app: World) -> None:
    kinds = {kind for kind, *_ in CHILDREN}
    found = {(kind, name) for kind in kinds for name in app.names_of(kind)}
    users, kept = {"pia-credentials"}, {"piavpn-account-pia-credentials"}
    lists = {name for name in app.names_of(kube.CONFIG_MAPS) if "server-list" in name}
    known = {(kind, name) for kind, name, *_ in CHILDREN}
    assert {name for _, name in found - known} == users | kept | lists


def test_a_token_that_was_deleted_is_had_anew(app: World) -> None:
    name = "piavpn-account-pia-credentials"
    app.api.remove(kube.SECRETS, name, NAMESPACE)
    app.loop.wake("home")
    eventually(lambda: name in app.names_of(kube.SECRETS), lambda: app.api.all(kube.SECRETS))


class Woken:
    """Stands where the reconciler stands, and notes what it is asked."""

    def __init__(self) -> None:
        self.vpns: list[str] = []
        self.everything = 0
        self.selector = ""
        """By which labels the API server was asked for objects."""

    def wake(self, vpn: str) -> None:
        self.vpns.append(vpn)

    def wake_all(self) -> None:
        self.everything += 1


@pytest.mark.parametrize(
    ("plural", "label", "selector"),
    [
        ("services", "piavpn.dev/vpn", "app.kubernetes.io/managed-by=piavpn-operator"),
        ("networkpolicies", "piavpn.dev/gateway", "app.kubernetes.io/managed-by=piavpn-operator"),
        ("configmaps", "piavpn.dev/gateway", "piavpn.dev/gateway"),
        ("statefulsets", "piavpn.dev/vpn", "app.kubernetes.io/managed-by=piavpn-operator"),
        ("pods", "piavpn.dev/vpn", "piavpn.dev/vpn"),
        ("pods", "piavpn.dev/gateway", "piavpn.dev/gateway"),
    ],
)
def test_it_is_looked_at_as_soon_as_it_changes(plural: str, label: str, selector: str) -> None:
    there = item("made", 1)
    there["metadata"]["labels"] = {label: "home"}
    woken = watched(f"{plural} {selector}", there, lambda woken: woken.vpns == ["home"])
    assert (woken.selector, woken.everything) == (selector, 0)


def test_all_is_looked_at_when_a_secret_changes() -> None:
    woken = watched("secrets", item("pia-credentials", 1), lambda woken: woken.everything == 1)
    assert woken.selector == ""


def test_a_tunnel_and_an_app_are_looked_at_where_kopf_has_lost_sight_of_their_kinds() -> None:
    app = item("web", 1) | {"spec": {"vpnRef": {"name": "home"}}}
    for plural, there in (("piavpns", item("home", 1)), ("vpnservicecontainers", app)):
        woken = watched(plural, there, lambda woken: woken.vpns == ["home"])
        assert (woken.selector, woken.everything) == ("", 0)


def test_a_gateway_that_has_ended_frees_what_others_may_wait_for() -> None:
    pod = item("piavpn-gateway-home-0", 1)
    pod["metadata"]["labels"] = {"piavpn.dev/gateway": "home"}
    woken = watched(
        "pods piavpn.dev/gateway", pod, lambda woken: woken.everything == 1, line("DELETED", pod)
    )
    assert woken.vpns == ["home", "home"]


def watched(name: str, there: dict[str, Any], done: Any, *then: bytes) -> Woken:
    """Run one of the watches at an API server that has this object, until `done` holds.

    Args:
        name: of the watch.
        there: the object.
        done: asked for what is awaited.
        then: the changes that come after it.
    """
    woken, stop, silence = Woken(), threading.Event(), threading.Event()
    with Server([listed(1, there)], [[*then, silence]]) as server, serving(server):
        settings = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        cluster = kube.Cluster(client.ApiClient(settings))
        found = watches.threads(cluster, NAMESPACE, woken, stop)  # type: ignore[arg-type]
        (thread,) = (each for each in found if each.name == name)
        thread.start()
        eventually(lambda: done(woken), lambda: woken.vpns)
        woken.selector = server.queries[0].get("labelSelector", "")
        stop.set()
        silence.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
    return woken
