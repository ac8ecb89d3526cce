"""Follow many logs at once, also of containers that begin later."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from piavpn.cli.logsources import Line, Source
from piavpn.kube import Cluster, KubeError

_BATCH_SECONDS = 0.5
"""How long lines wait for earlier ones of other logs."""
_LOOK_SECONDS = 5.0
"""Between looks for containers that have begun."""


def follow(
    api: Cluster,
    find: Callable[[], Sequence[Source]],
    since: timedelta,
    write: Callable[[Iterable[Line]], None],
) -> None:
    """Write what the logs say, until the user has seen enough.

    Args:
        api: the cluster.
        find: returns the logs that there are.
        since: how far to go back in each.
        write: takes lines, of about the same time.

    Raises:
        KubeError: the API server no longer tells which logs there are.
    """
    following = _Following(api, since)
    next_look = 0.0
    while True:
        if time.monotonic() >= next_look:
            following.begin(find())
            next_look = time.monotonic() + _LOOK_SECONDS
        time.sleep(_BATCH_SECONDS)
        write(following.lines())


class _Following:
    def __init__(self, api: Cluster, since: timedelta) -> None:
        self._api = api
        self._since = since
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[Source] = set()
        self._last: dict[Source, str] = {}
        """Time of the last line: a log that ends, as its container does, is taken up from there."""

    def begin(self, sources: Iterable[Source]) -> None:
        for source in sources:
            with self._lock:
                if source in self._running:
                    continue
                self._running.add(source)
            threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def lines(self) -> list[Line]:
        """Return what was said since."""
        found = []
        while not self._lines.empty():
            found.append(self._lines.get())
        return found

    def _read(self, source: Source) -> None:
        last = self._last.get(source, "")
        query = {"follow": "true"}
        query |= {"sinceTime": last} if last else {"sinceSeconds": _seconds(self._since)}
        try:
            for line in source.lines(self._api, query):
                if line.time > last:
                    self._last[source] = line.time
                    self._lines.put(line)
        except KubeError:
            pass  # the container has ended, or has not begun: it is looked for again
        finally:
            with self._lock:
                self._running.discard(source)


def _seconds(since: timedelta) -> str:
    return str(max(1, math.ceil(since.total_seconds())))
