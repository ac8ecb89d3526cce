"""A status that a stranger has written, as a restore tool does, comes back to its writers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_world import World, running
from kube_calls import Call
from kube_server import RefusalError

from piavpn import kube
from piavpn.controller import ownership

OPERATOR = {"manager": "piavpn-operator", "operation": "Apply", "subresource": "status"}
GATEWAY = {"manager": "piavpn-gateway", "operation": "Apply", "subresource": "status"}
USER = {"manager": "kubectl", "operation": "Update"}
RESTORED = {"manager": "velero-server", "operation": "Update", "subresource": "status"}


def owned_by(*entries: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7", "managedFields": list(entries)}}


def test_a_stranger_is_taken_out_and_nobody_else() -> None:
    assert ownership.without_strangers(owned_by(USER, OPERATOR, RESTORED, GATEWAY)) == {
        "metadata": {"resourceVersion": "7", "managedFields": [USER, OPERATOR, GATEWAY]}
    }


def test_a_status_that_a_stranger_alone_owns_is_nobodys_then() -> None:
    assert ownership.without_strangers(owned_by(RESTORED)) == {
        "metadata": {"resourceVersion": "7", "managedFields": [{}]}
    }


def test_where_only_our_programs_write_nothing_is_changed() -> None:
    assert ownership.without_strangers(owned_by(USER, OPERATOR, GATEWAY)) is None
    assert ownership.without_strangers({"metadata": {"resourceVersion": "7"}}) is None


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[World]:
    """A tunnel whose status is refused to all but its owners."""
    with running(tmp_path) as world:
        world.make_tunnel()

        def conflict(call: Call) -> RefusalError | None:
            if call.resource != "piavpns/status" or "apply" not in call.content:
                return None
            owners = world.api.get(kube.PIA_VPNS, "home")["metadata"].get("managedFields", [])
            strange = {"velero-server", "piavpn-gateway"} & {each["manager"] for each in owners}
            return RefusalError(409, "conflict") if strange else None

        world.api.fault = conflict
        yield world


def restored(world: World, *entries: dict[str, str]) -> None:
    world.api.put(
        kube.PIA_VPNS, "home", metadata={"managedFields": list(entries)}, status={"services": 7}
    )
    world.pass_over("home")


def test_a_restored_status_is_written_all_the_same(tunnel: World) -> None:
    restored(tunnel, USER, RESTORED)
    found = tunnel.api.get(kube.PIA_VPNS, "home")
    assert found["status"]["services"] == 0
    assert found["metadata"]["managedFields"] == [USER]


def test_what_another_of_our_programs_owns_is_left_to_it(tunnel: World) -> None:
    restored(tunnel, GATEWAY)
    found = tunnel.api.get(kube.PIA_VPNS, "home")
    assert found["status"]["services"] == 7
    assert found["metadata"]["managedFields"] == [GATEWAY]


def test_a_stranger_is_no_owner_for_long_though_nothing_is_in_the_way(tunnel: World) -> None:
    tunnel.api.fault = lambda _call: None
    restored(tunnel, USER, RESTORED, OPERATOR)
    found = tunnel.api.get(kube.PIA_VPNS, "home")
    assert found["metadata"]["managedFields"] == [USER, OPERATOR]
