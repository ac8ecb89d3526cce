from __future__ import annotations

from collections.abc import Iterator

import kube_server
import pytest

from piavpn import kube
from piavpn.node.model import Owner, Pod, Role
from piavpn.node.outbox import Event, Outbox, Removal

APP = Owner("app", "media")
HOME = Owner("home")
POD = Pod("pod-uid", "app-0", "media", Role.SERVICE, "home", APP, None)
TAMPERED = Event(APP, "Tampered", "pod app-0: the lock is gone")


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        made.put(kube.PODS, "app-0", "media", metadata={"uid": "pod-uid"})
        yield made


@pytest.fixture
def outbox(api: kube_server.Api) -> Outbox:
    owners = {APP: "app-uid", HOME: "vpn-uid"}
    return Outbox(api.cluster(), lambda: owners)


def changes(api: kube_server.Api) -> list[tuple[str, str, str | None]]:
    return [(call.verb, call.resource, call.namespace) for call in api.changes]


def test_a_pod_is_deleted_by_its_uid_and_the_event_is_the_resources(
    api: kube_server.Api, outbox: Outbox
) -> None:
    outbox.put(Removal(POD))
    outbox.put(TAMPERED)
    outbox.send()
    assert changes(api) == [("delete", "pods", "media"), ("create", "events", "media")]
    (event,) = api.all(kube.EVENTS)
    assert event["involvedObject"] == {
        "apiVersion": "piavpn.dev/v1alpha1",
        "kind": "VpnServiceContainer",
        "name": "app",
        "namespace": "media",
        "uid": "app-uid",
    }
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning",
        "Tampered",
        "pod app-0: the lock is gone",
    )


def test_a_piavpns_event_is_where_cluster_scoped_ones_are(
    api: kube_server.Api, outbox: Outbox
) -> None:
    outbox.put(Event(HOME, "Repaired", "pod gateway-0 was not as it had been set: lock"))
    outbox.send()
    assert changes(api) == [("create", "events", "default")]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_the_server_cannot_do_now_waits_and_only_once(
    api: kube_server.Api, outbox: Outbox, status: int
) -> None:
    api.fault = lambda _call: kube_server.RefusalError(status, "later")
    for _ in range(3):
        outbox.put(Removal(POD))
        outbox.put(TAMPERED)
        with pytest.raises(kube.KubeError, match="later"):
            outbox.send()
    api.fault = lambda _call: None
    outbox.send()
    assert changes(api) == [("delete", "pods", "media"), ("create", "events", "media")]


def test_what_the_server_refuses_holds_nothing_else_up(
    api: kube_server.Api, outbox: Outbox
) -> None:
    api.fault = lambda call: (
        kube_server.RefusalError(409, "another pod") if call.verb == "delete" else None
    )
    outbox.put(Removal(POD))
    outbox.put(TAMPERED)
    outbox.send()
    assert changes(api) == [("create", "events", "media")]


def test_an_event_of_a_resource_that_is_gone_is_dropped(
    api: kube_server.Api, outbox: Outbox
) -> None:
    outbox.put(Event(Owner("gone", "media"), "Tampered", "pod gone-0"))
    outbox.send()
    assert changes(api) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_event_that_the_server_never_takes_holds_up_no_deletion_and_no_other_event(
    api: kube_server.Api, outbox: Outbox, status: int
) -> None:
    api.fault = lambda call: (
        kube_server.RefusalError(status, "not now")
        if call.resource == "events" and call.namespace == "media"
        else None
    )
    outbox.put(TAMPERED)
    outbox.put(Event(HOME, "Repaired", "pod gateway-0 was not as it had been set: lock"))
    outbox.put(Removal(POD))
    for _ in range(2):
        with pytest.raises(kube.KubeError, match="not now"):
            outbox.send()
    assert changes(api) == [("delete", "pods", "media"), ("create", "events", "default")]
    # What the server could not do still waits.
    api.fault = lambda _call: None
    outbox.send()
    assert changes(api)[2:] == [("create", "events", "media")]


def test_a_labelled_pods_event_is_about_the_pod_itself(api: kube_server.Api) -> None:
    owner = Owner("crawler-1", "media", is_pod=True)
    outbox = Outbox(api.cluster(), lambda: {owner: "uid-of-crawler"})
    outbox.put(Event(owner, "Tampered", "pod crawler-1: the lock is gone"))
    outbox.send()
    (event,) = api.all(kube.EVENTS)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "crawler-1",
        "namespace": "media",
        "uid": "uid-of-crawler",
    }
