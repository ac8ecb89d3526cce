"""Passes over apps that change or move: when their pods are replaced, and who has which address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_world import GATEWAY, NAMESPACE, World, running

from piavpn import kube


@pytest.fixture
def app(tmp_path: Path) -> Iterator[World]:
    """A tunnel `home` with an app `web` that runs behind it."""
    with running(tmp_path) as world:
        world.make_tunnel()
        world.make_app()
        yield world


def test_an_app_s_pod_is_replaced_when_its_image_changes(app: World) -> None:
    app.service(image="busybox:2")
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0"}


def test_an_app_s_pod_stays_where_it_is_when_its_gateway_comes_up_elsewhere(app: World) -> None:
    app.api.put(kube.PODS, "web-0", "media", spec={"nodeName": "node-a"})
    app.api.put(kube.PODS, f"{GATEWAY}-0", NAMESPACE, spec={"nodeName": "node-a"})
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0", "web-0"}
    app.api.put(kube.PODS, f"{GATEWAY}-0", NAMESPACE, spec={"nodeName": "node-b"})
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0", "web-0"}


def test_an_app_s_pod_is_replaced_when_it_moves_to_another_vpn(app: World) -> None:
    app.vpn("downloads")
    app.service(vpn="downloads")
    app.pass_over("home", "downloads")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0"}
    made = app.api.get(kube.STATEFUL_SETS, "web", "media")
    template = made["spec"]["template"]["metadata"]
    assert template["labels"]["piavpn.dev/vpn"] == "downloads"
    assert template["annotations"]["piavpn.dev/address"] == "10.100.1.10"


def test_the_old_vpn_gives_the_address_of_a_moved_app_away_only_when_its_pod_is_gone(
    app: World,
) -> None:
    app.vpn("downloads")
    app.service(vpn="downloads")
    app.service("other", ip="10.100.0.10")
    app.pass_over("home")
    assert app.service_condition("Accepted", "other") == ("False", "AddressTaken")
    app.pass_over("downloads", "home")
    assert app.service_condition("Accepted", "other") == ("True", "Accepted")


def test_two_apps_swap_their_addresses(app: World) -> None:
    def address_of(name: str) -> str:
        found: str = app.api.get(kube.VPN_SERVICE_CONTAINERS, name, "media")["status"]["address"]
        return found

    def make_pods_again() -> None:
        for name in ("web", "other"):
            if f"{name}-0" not in app.names_of(kube.PODS):
                app.run_pod(name, "media")

    app.service("other")
    app.pass_over("home")
    make_pods_again()
    assert (address_of("web"), address_of("other")) == ("10.100.0.10", "10.100.0.11")
    app.service("web", ip="10.100.0.11")
    app.service("other", ip="10.100.0.10")
    held = []
    while not held or held[-1] != ("10.100.0.11", "10.100.0.10"):
        app.pass_over("home")
        held.append((address_of("web"), address_of("other")))
        make_pods_again()
        assert len(held) < 10, held
    # One steps aside, the other takes its place: never are both at one address.
    assert all(web != other for web, other in held)
