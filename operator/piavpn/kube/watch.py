"""List, then watch, for ever: the part of a client that must not lose a change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from piavpn.kube.kinds import GONE, KubeError, Object, Selection

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds after a failed list or watch
_MOST_DOUBLINGS = 6
_KEPT = ("name", "namespace", "uid", "resourceVersion", "labels")
_SHORT_WATCH = 1.0  # seconds: one that ends sooner and without a word is a failure, not an end


class Source(Protocol):
    """What a watch asks of the API server."""

    def list_with_version(self, selection: Selection) -> tuple[list[Object], str]:
        """Return the objects and the resource version from which a watch goes on."""

    def stream(self, selection: Selection, version: str) -> Iterator[Object]:
        """Yield the raw lines of one watch request, until the server ends it."""


def watch(
    source: Source, selection: Selection, stop: threading.Event
) -> Iterator[tuple[str, Object]]:
    """Yield changes until `stop` is set; see `Cluster.watch`."""
    known: dict[str, Object] = {}
    """The identities of what was told of, by UID."""
    failures = 0
    while not stop.is_set():
        started = time.monotonic()
        try:
            items, version = source.list_with_version(selection)
            yield from _relisted(known, items)
            yield "SYNCED", {}
            yield from _follow(source, selection, version, known, stop)
        except KubeError as error:
            if error.status != GONE:
                log.warning("watch of %s: %s", selection.kind.plural, error)
            # A list that works says nothing of the watch: only one that lasted was a success.
            lasted = time.monotonic() - started >= _LONGEST_WAIT
            failures = 0 if lasted else min(failures + 1, _MOST_DOUBLINGS)
            stop.wait(min(_FIRST_WAIT * 2**failures, _LONGEST_WAIT))


def _follow(
    source: Source,
    selection: Selection,
    version: str,
    known: dict[str, Object],
    stop: threading.Event,
) -> Iterator[tuple[str, Object]]:
    while not stop.is_set():
        started, silent = time.monotonic(), True
        for line in source.stream(selection, version):
            change, item, version = _event(line)
            silent = False
            if change == "BOOKMARK":
                continue
            _remember(known, change, item)
            yield change, item
            if stop.is_set():
                return
        if silent and time.monotonic() - started < _SHORT_WATCH:
            raise KubeError(0, "the server ends it at once")


def _event(line: Object) -> tuple[str, Object, str]:
    """Return the change, the object and its resource version."""
    try:
        change, item = line["type"], line["object"]
        if change == "ERROR":
            raise KubeError(item.get("code", 0), item.get("message", "watch failed"))
        return change, item, item["metadata"]["resourceVersion"]
    except (KeyError, TypeError, AttributeError) as error:
        raise KubeError(0, f"no watch event: {str(line)[:80]}") from error


def _relisted(known: dict[str, Object], items: list[Object]) -> Iterator[tuple[str, Object]]:
    current = {item["metadata"]["uid"]: item for item in items}
    for uid in known.keys() - current.keys():
        yield "DELETED", known.pop(uid)
    for uid, item in current.items():
        change = "MODIFIED" if uid in known else "ADDED"
        known[uid] = _identity(item)
        yield change, item


def _remember(known: dict[str, Object], change: str, item: Object) -> None:
    uid = item["metadata"]["uid"]
    if change == "DELETED":
        known.pop(uid, None)
    else:
        known[uid] = _identity(item)


def _identity(item: Object) -> Object:
    """Return what tells which object it is: whole ones of a large cluster would fill our memory."""
    metadata = item["metadata"]
    kept = {key: metadata[key] for key in _KEPT if key in metadata}
    return {key: item[key] for key in ("apiVersion", "kind") if key in item} | {"metadata": kept}
