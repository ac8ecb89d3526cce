"""Fixtures of whole passes of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_world import World, running


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        yield world


@pytest.fixture
def tunnel(world: World) -> World:
    """A tunnel `home` that works."""
    world.make_tunnel()
    return world


@pytest.fixture
def app(tunnel: World) -> World:
    """That tunnel with an app `web` that runs behind it."""
    tunnel.make_app()
    return tunnel
