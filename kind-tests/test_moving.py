"""A tunnel can move, to another place in the world or to another node, and its apps go along."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes


@pytest.fixture
def nomad() -> Iterator[probes.Tunnel]:
    """Give a tunnel that no other test minds moving."""
    with probes.tunnel("nomad", location="nl_amsterdam") as tunnel:
        yield tunnel


def test_another_location_is_taken_at_once_and_the_app_goes_on(nomad: probes.Tunnel) -> None:
    before, app = nomad.server_address, nomad.app.get()["metadata"]["uid"]
    elsewhere = json.dumps({"spec": {"serverLocation": "us_chicago"}})

    kubectl.run("patch", "piavpn", nomad.vpn, "--type=merge", "-p", elsewhere)

    waiting.eventually(
        lambda: nomad.app.tcp() == "198.18.14.1", "the app leaves by the other location's server"
    )
    assert before != "198.18.14.1"
    assert nomad.app.get()["metadata"]["uid"] == app


def test_an_app_follows_its_gateway_to_another_node(nomad: probes.Tunnel) -> None:
    left = nomad.app.node
    (other,) = set(nodes.names()) - {left}
    kubectl.run("cordon", left)
    try:
        kubectl.run("delete", "pod", nomad.gateway.name, "-n", manifests.SYSTEM)

        waiting.eventually(lambda: _nodes_of(nomad) == {other}, "gateway and app are there")
        kubectl.wait_for("vpnapp", "probe", "Ready", nomad.app.namespace)
    finally:
        kubectl.run("uncordon", left)
    assert nomad.app.tcp() == nomad.server_address


def _nodes_of(tunnel: probes.Tunnel) -> set[str | None]:
    pods = (
        kubectl.get("pod", pod.name, pod.namespace) or {} for pod in (tunnel.gateway, tunnel.app)
    )
    return {(pod.get("spec") or {}).get("nodeName") for pod in pods}
