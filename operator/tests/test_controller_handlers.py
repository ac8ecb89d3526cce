"""kopf's part: it watches, wakes the right passes, and writes nothing of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from piavpn.controller import handlers


class Woken:
    """Stands where the reconciler stands, and notes what it is asked."""

    def __init__(self) -> None:
        self.vpns: list[str] = []
        self.everything = 0
        self.well = True

    def wake(self, vpn: str) -> None:
        self.vpns.append(vpn)

    def wake_all(self) -> None:
        self.everything += 1

    def healthy(self) -> bool:
        return self.well


@pytest.fixture
def loop() -> Woken:
    return Woken()


@pytest.fixture
def registry(loop: Woken) -> kopf.OperatorRegistry:
    return handlers.registry(loop)  # type: ignore[arg-type]


def happens(registry: kopf.OperatorRegistry, handler: str, **event: Any) -> Any:
    """Call the handler of this id as kopf would."""
    known = [
        *registry._watching.get_all_handlers(),  # noqa: SLF001 - kopf has no other way to ask
        *registry._activities.get_all_handlers(),  # noqa: SLF001
    ]
    (found,) = [item for item in known if item.id == handler]

    async def call() -> Any:
        return await found.fn(**event)  # type: ignore[misc] # ours are all asynchronous

    return asyncio.run(call())


def test_nothing_that_would_write_finalizers_or_annotations_is_registered(
    registry: kopf.OperatorRegistry,
) -> None:
    kinds = (registry._changing, registry._spawning, registry._indexing)  # noqa: SLF001
    assert [kind.get_all_handlers() for kind in kinds] == [[], [], []]


def test_kopf_posts_no_events_of_its_own() -> None:
    assert handlers.settings().posting.enabled is False


def test_a_changed_vpn_is_looked_at(registry: kopf.OperatorRegistry, loop: Woken) -> None:
    happens(registry, "vpn", name="home", status={}, type="MODIFIED")
    assert (loop.vpns, loop.everything) == (["home"], 0)


def test_a_vpn_that_ends_at_another_server_wakes_those_that_may_want_it(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    at_first = {"session": {"serverAddress": "198.18.11.1"}}
    happens(registry, "vpn", name="home", status=at_first, type="MODIFIED")
    happens(registry, "vpn", name="home", status=at_first, type="MODIFIED")
    assert loop.everything == 1
    then = {"session": {"serverAddress": "198.18.11.2"}}
    happens(registry, "vpn", name="home", status=then, type="MODIFIED")
    assert loop.everything == 2


def test_so_does_one_whose_gateway_has_let_go_of_a_server(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    both = {"candidateServers": ["198.18.11.1", "198.18.11.2"]}
    happens(registry, "vpn", name="home", status=both, type="MODIFIED")
    happens(registry, "vpn", name="home", status=both, type="MODIFIED")
    assert loop.everything == 1
    one = {"candidateServers": ["198.18.11.1"]}
    happens(registry, "vpn", name="home", status=one, type="MODIFIED")
    assert loop.everything == 2


def test_a_deleted_vpn_frees_what_others_may_wait_for(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    happens(registry, "vpn", name="home", status={}, type="DELETED")
    assert (loop.vpns, loop.everything) == (["home"], 1)


def service(vpn: str) -> dict[str, Any]:
    return {"uid": "uid-1", "spec": {"vpnRef": {"name": vpn}}, "type": "MODIFIED"}


def test_a_changed_service_concerns_its_vpn(registry: kopf.OperatorRegistry, loop: Woken) -> None:
    happens(registry, "service", **service("home"))
    assert set(loop.vpns) == {"home"}


def test_a_service_that_moves_concerns_both_vpns(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    happens(registry, "service", **service("home"))
    loop.vpns.clear()
    happens(registry, "service", **service("downloads"))
    assert set(loop.vpns) == {"home", "downloads"}


def test_a_deleted_service_concerns_its_vpn(registry: kopf.OperatorRegistry, loop: Woken) -> None:
    happens(registry, "service", **service("home") | {"type": "DELETED"})
    assert set(loop.vpns) == {"home"}


def test_kopf_watches_no_kind_of_which_most_objects_are_none_of_ours(
    registry: kopf.OperatorRegistry,
) -> None:
    """It would list and follow all pods of the cluster."""
    watched = {handler.selector.any_name for handler in registry._watching.get_all_handlers()}  # noqa: SLF001
    assert watched == {"piavpns", "vpnservicecontainers", "namespaces"}


def test_the_probe_fails_when_the_loop_is_stuck(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    assert happens(registry, "loop") is True
    loop.well = False
    with pytest.raises(kopf.PermanentError, match="stuck"):
        happens(registry, "loop")


def test_a_namespace_wakes_every_vpn_when_its_labels_change(
    registry: kopf.OperatorRegistry, loop: Woken
) -> None:
    happens(registry, "namespace", name="media", labels={"team": "home"}, type=None)
    assert loop.everything == 1
    happens(registry, "namespace", name="media", labels={"team": "home"}, type="MODIFIED")
    assert loop.everything == 1
    happens(registry, "namespace", name="media", labels={"team": "work"}, type="MODIFIED")
    assert loop.everything == 2
