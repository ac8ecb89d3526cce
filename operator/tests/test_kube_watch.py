"""List, then watch, for ever: against a real HTTP server that breaks in every way they break."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kube_watch_server import (
    SYNCED,
    Server,
    Watched,
    eventually,
    gone,
    item,
    line,
    listed,
    serving,
    watching_of,
)
from kubernetes import client

from piavpn import kube
from piavpn.kube import watch as watching


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_WAIT", 0.01)


@pytest.fixture
def silence() -> threading.Event:
    """In a script: the stream stays open and says nothing more."""
    return threading.Event()


def test_what_is_there_is_added_then_synced_then_every_change_is_told(
    silence: threading.Event,
) -> None:
    stream = [
        line("MODIFIED", item("a", 6)),
        line("ADDED", item("b", 7)),
        line("DELETED", item("a", 8)),
        silence,
    ]
    with watching_of([listed(5, item("a", 4))], [stream]) as (server, watched):
        watched.until(
            ("ADDED", "a", "4"),
            SYNCED,
            ("MODIFIED", "a", "6"),
            ("ADDED", "b", "7"),
            ("DELETED", "a", "8"),
        )
        assert server.versions == ["5"]


def test_objects_of_a_list_are_told_their_kind_which_the_server_leaves_out(
    silence: threading.Event,
) -> None:
    with watching_of([listed(5, item("a", 4))], [[silence]]) as (_, watched):
        watched.until(("ADDED", "a", "4"), SYNCED)
        assert watched.objects[0] == item("a", 4) | {"apiVersion": "v1", "kind": "ConfigMap"}


def test_selectors_narrow_both_the_list_and_the_watch(silence: threading.Event) -> None:
    selection = {"labels": "piavpn.dev/gateway", "fields": "spec.nodeName=n1"}
    with watching_of([listed(5)], [[silence]], **selection) as (server, watched):
        watched.until(SYNCED)
        eventually(lambda: len(server.queries) == 2, lambda: server.queries)
    expected = {
        "labelSelector": "piavpn.dev/gateway",
        "fieldSelector": "spec.nodeName=n1",
    }
    assert [expected.items() <= query.items() for query in server.queries] == [True, True]
    assert server.queries[1]["allowWatchBookmarks"] == "true"


def test_a_stream_that_ends_goes_on_from_the_last_version_without_a_new_list(
    silence: threading.Event,
) -> None:
    streams = [[line("ADDED", item("a", 6))], [line("MODIFIED", item("a", 7)), silence]]
    with watching_of([listed(5)], streams) as (server, watched):
        watched.until(SYNCED, ("ADDED", "a", "6"), ("MODIFIED", "a", "7"))
        assert server.versions == ["5", "6"]
        assert server.lists_asked == 1


def test_a_bookmark_is_not_told_and_moves_the_version_on(silence: threading.Event) -> None:
    bookmark = line("BOOKMARK", {"metadata": {"resourceVersion": "90"}})
    streams = [[bookmark], [line("ADDED", item("a", 91)), silence]]
    with watching_of([listed(5)], streams) as (server, watched):
        watched.until(SYNCED, ("ADDED", "a", "91"))
        assert server.versions == ["5", "90"]


def test_a_line_that_arrives_in_pieces_is_one_change(silence: threading.Event) -> None:
    whole = line("ADDED", item("a", 6)) + line("ADDED", item("b", 7))
    pieces = [whole[:9], whole[9:70], whole[70:], silence]
    with watching_of([listed(5)], [pieces]) as (_, watched):
        watched.until(SYNCED, ("ADDED", "a", "6"), ("ADDED", "b", "7"))


def test_what_vanished_between_two_lists_is_told_as_deleted(silence: threading.Event) -> None:
    lists = [listed(5, item("a", 3), item("b", 4)), listed(50, item("b", 44))]
    with watching_of(lists, [[gone()], [silence]]) as (server, watched):
        eventually(lambda: len(watched.changes) == 6, lambda: watched.changes)
        assert sorted(watched.changes[:2]) == [("ADDED", "a", "3"), ("ADDED", "b", "4")]
        assert watched.changes[2:] == [
            SYNCED,
            ("DELETED", "a", "3"),
            ("MODIFIED", "b", "44"),
            SYNCED,
        ]
        eventually(lambda: server.versions == ["5", "50"], lambda: server.versions)


def test_of_what_vanished_its_labels_are_told_and_no_more_is_remembered(
    silence: threading.Event,
) -> None:
    whole = item("a", 4)
    whole["metadata"] |= {"namespace": "n", "labels": {"app": "a"}, "managedFields": [{}]}
    script = [[line("MODIFIED", whole | {"spec": {"much": "text"}}), gone()], [silence]]
    with watching_of([listed(5, whole), listed(9)], script) as (_, watched):
        watched.until(("ADDED", "a", "4"), SYNCED, ("MODIFIED", "a", "4"), ("DELETED", "a", "4"))
    assert watched.objects[3] == {
        "metadata": {
            "name": "a",
            "namespace": "n",
            "uid": "uid-a",
            "resourceVersion": "4",
            "labels": {"app": "a"},
        }
    }


def test_an_object_that_was_replaced_between_two_lists_is_deleted_and_added(
    silence: threading.Event,
) -> None:
    lists = [listed(5, item("a", 3, "old")), listed(50, item("a", 44, "new"))]
    with watching_of(lists, [[gone()], [silence]]) as (_, watched):
        watched.until(
            ("ADDED", "a", "3"), SYNCED, ("DELETED", "a", "3"), ("ADDED", "a", "44"), SYNCED
        )


def test_an_object_that_the_watch_told_of_is_known_to_the_next_list(
    silence: threading.Event,
) -> None:
    streams = [[line("ADDED", item("a", 6)), gone()], [silence]]
    with watching_of([listed(5), listed(50)], streams) as (_, watched):
        watched.until(SYNCED, ("ADDED", "a", "6"), ("DELETED", "a", "6"), SYNCED)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([None], id="the connection breaks before a word"),
        pytest.param([line("ADDED", item("a", 6))[:20], None], id="it breaks within a line"),
        pytest.param([b"<html>Bad Gateway</html>\n"], id="the line is no JSON"),
        pytest.param([b"[]\n"], id="the line is no object"),
        pytest.param([b'{"type": "ADDED"}\n'], id="the line has no object"),
        pytest.param([b'{"type": "ADDED", "object": {}}\n'], id="the object has no version"),
        pytest.param([b'{"type": "ERROR", "object": null}\n'], id="the error is none"),
        pytest.param([line("ERROR", {"code": 500, "message": "etcd"})], id="the server fails"),
        pytest.param([], id="the stream ends at once"),
        pytest.param(403, id="the watch is forbidden"),
        pytest.param(502, id="a proxy answers"),
    ],
)
def test_after_a_broken_watch_it_lists_again_and_goes_on(
    broken: Any, silence: threading.Event
) -> None:
    lists = [listed(5, item("a", 3)), listed(50, item("a", 3))]
    with watching_of(lists, [broken, [silence]]) as (server, watched):
        watched.until(("ADDED", "a", "3"), SYNCED, ("MODIFIED", "a", "3"), SYNCED)
        eventually(lambda: server.versions == ["5", "50"], lambda: server.versions)


@pytest.mark.parametrize("failure", [500, 403, 429])
def test_a_list_that_fails_is_repeated(failure: int, silence: threading.Event) -> None:
    lists = [failure, failure, listed(5, item("a", 3))]
    with watching_of(lists, [[silence]]) as (_, watched):
        watched.until(("ADDED", "a", "3"), SYNCED)


def test_a_list_that_is_none_is_repeated(silence: threading.Event) -> None:
    lists = [{"kind": "Status"}, {"items": None, "metadata": {}}, listed(5, item("a", 3))]
    with watching_of(lists, [[silence]]) as (_, watched):
        watched.until(("ADDED", "a", "3"), SYNCED)


@pytest.mark.parametrize("answer", [[], [gone()], 403, 410])
def test_a_watch_that_never_works_is_asked_for_ever_more_seldom(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Recording(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            if len(waits) == 9:
                self.set()
            return False

    monkeypatch.setattr(watching, "_FIRST_WAIT", 0.5)
    with Server([listed(5)], [answer]) as server, serving(server):
        settings = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        cluster = kube.Cluster(client.ApiClient(settings))
        for _ in cluster.watch(kube.CONFIG_MAPS, stop=Recording()):
            pass
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30]


def test_a_server_that_is_not_there_is_waited_for(
    silence: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with Server([listed(5)], [[silence]]) as server:
        port = server.server_address[1]
    watched = Watched(port)
    try:
        eventually(lambda: "Connection refused" in caplog.text, lambda: caplog.text)
        with Server([listed(5)], [[silence]], port) as late, serving(late):
            watched.until(SYNCED)
            watched.stop.set()
    finally:
        watched.join()
