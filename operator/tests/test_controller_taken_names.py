"""Passes over apps whose names are those of other objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_world import World, running

from piavpn import kube


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[World]:
    """A tunnel `home` that works."""
    with running(tmp_path) as world:
        world.make_tunnel()
        yield world


def owned_by(world: World, name: str) -> dict[str, Any]:
    uid = world.api.get(kube.VPN_SERVICE_CONTAINERS, name, "media")["metadata"]["uid"]
    return {"ownerReferences": [{"uid": uid}]}


def test_a_stateful_set_of_someone_else_is_not_taken_over(tunnel: World) -> None:
    tunnel.api.put(kube.STATEFUL_SETS, "web", "media", spec={"replicas": 3})
    tunnel.service()
    tunnel.pass_over("home")
    assert tunnel.service_condition("Accepted") == ("False", "NameTaken")
    assert tunnel.api.get(kube.STATEFUL_SETS, "web", "media")["spec"] == {"replicas": 3}


def test_an_app_without_ports_gets_along_with_a_service_of_someone_else(tunnel: World) -> None:
    tunnel.api.put(kube.SERVICES, "web", "media", spec={"clusterIP": "None"})
    tunnel.service(ports=[])
    tunnel.pass_over("home")
    assert tunnel.service_condition("Accepted") == ("True", "Accepted")
    assert tunnel.api.get(kube.SERVICES, "web", "media")["spec"] == {"clusterIP": "None"}


def test_an_app_that_loses_its_ports_loses_its_own_service(app: World) -> None:
    app.api.put(kube.SERVICES, "web", "media", metadata=owned_by(app, "web"))
    app.service(ports=[])
    app.pass_over("home")
    assert app.api.all(kube.SERVICES) == []
