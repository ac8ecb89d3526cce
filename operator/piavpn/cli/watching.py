"""Wait for what a cluster says."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from piavpn.kube import Cluster
from piavpn.kube.kinds import Selection

T = TypeVar("T")

_LONGEST_SECONDS = 5.0
"""Between looks, also where nothing is told, as to somebody who may not watch."""


@contextlib.contextmanager
def changes(api: Cluster, *selections: Selection) -> Iterator[threading.Event]:
    """Give a bell that rings at each change of what is selected."""
    bell, stop = threading.Event(), threading.Event()
    for selection in selections:
        arguments = (api, selection, bell, stop)
        threading.Thread(target=_follow, args=arguments, daemon=True).start()
    try:
        yield bell
    finally:
        stop.set()


def until(
    api: Cluster, selection: Selection, look: Callable[[], T | None], seconds: float
) -> T | None:
    """Return what `look` finds, as soon as it finds something; None where it does not in time.

    Raises:
        KubeError: by `look`.
    """
    deadline = time.monotonic() + seconds
    with changes(api, selection) as bell:
        while (found := look()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            bell.wait(min(left, _LONGEST_SECONDS))
            bell.clear()
    return found


def _follow(
    api: Cluster, selection: Selection, bell: threading.Event, stop: threading.Event
) -> None:
    watched = api.watch(
        selection.kind,
        selection.namespace,
        labels=selection.labels,
        fields=selection.fields,
        stop=stop,
    )
    for _ in watched:
        bell.set()
