"""A tunnel can move to another place in the world, and its apps go along."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness import kubectl, probes, waiting

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
