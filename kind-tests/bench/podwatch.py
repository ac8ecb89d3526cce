"""Watches the pods of a namespace: the API's own times are whole seconds, too coarse to compare."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

_TIMEOUT_SECONDS = 60.0
_LINE = '{.type} {.object.metadata.name} {.object.status.containerStatuses[*].started}{"\\n"}'


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A change of a pod: ADDED, MODIFIED or DELETED, and when it was seen (machine's clock)."""

    kind: str
    pod: str
    started: bool
    """Whether the pod's first container runs."""
    time: float


class PodWatch:
    """The events of a namespace's pods, as they come."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = threading.Condition()

    def note(self, line: str) -> None:
        """Take a line of the watch."""
        kind, pod, *started = line.split()
        with self._changed:
            self._events.append(Event(kind, pod, started == ["true"], time.time()))
            self._changed.notify_all()

    def created(self, pod: str) -> Event:
        """Wait for a pod's creation."""
        return self._first(
            lambda event: event.pod == pod and event.kind == "ADDED", f"{pod} is made"
        )

    def started(self, pod: str) -> Event:
        """Wait until a pod's first container runs."""
        return self._first(lambda event: event.pod == pod and event.started, f"{pod} runs")

    def deleted(self, pod: str) -> Event:
        """Wait until a pod is gone."""
        return self._first(
            lambda event: event.pod == pod and event.kind == "DELETED", f"{pod} is gone"
        )

    def _first(self, wanted: Callable[[Event], bool], what: str) -> Event:
        with self._changed:
            found = self._changed.wait_for(
                lambda: next(filter(wanted, self._events), None), _TIMEOUT_SECONDS
            )
        assert found, f"not within {_TIMEOUT_SECONDS:.0f} s: {what}"
        return found


@contextlib.contextmanager
def watching(namespace: str) -> Iterator[PodWatch]:
    """Watch for the time of a block."""
    with subprocess.Popen(
        ("kubectl", "get", "pods", "-n", namespace, "--watch", "--output-watch-events",
         "-o", f"jsonpath={_LINE}"),
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        watch = PodWatch()
        reader = threading.Thread(target=_read, args=(process, watch), daemon=True)
        reader.start()
        try:
            yield watch
        finally:
            process.terminate()
            reader.join()


def _read(process: subprocess.Popen[str], watch: PodWatch) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        watch.note(line)
