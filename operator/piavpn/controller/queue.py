"""Which VPNs are due for a pass, and when: one pass at a time, many reasons for it count once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class DueQueue:
    """Names with the time at which each is due. Methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._closed = False

    def add(self, name: str, delay: float = 0.0) -> None:
        """Make `name` due after `delay` seconds, or earlier if it is so already."""
        with self._changed:
            due = self._clock() + delay
            self._due[name] = min(due, self._due.get(name, due))
            self._changed.notify()

    def take(self, timeout: float) -> str | None:
        """Wait for a name that is due and remove it; None after `timeout` seconds or when closed.

        A name that is added while its pass runs is due once more.
        """
        deadline = self._clock() + timeout
        with self._changed:
            while not self._closed:
                now = self._clock()
                name = min(self._due, key=self._due.__getitem__, default=None)
                if name is not None and self._due[name] <= now:
                    del self._due[name]
                    return name
                if now >= deadline:
                    return None
                wake = min(deadline, self._due[name]) if name is not None else deadline
                self._changed.wait(wake - now)
            return None

    def overdue(self) -> int:
        """Return how many names are due and were not taken yet."""
        with self._changed:
            now = self._clock()
            return sum(due <= now for due in self._due.values())

    def close(self) -> None:
        """Let every `take` return None from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
