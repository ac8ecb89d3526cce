"""How long things took, counted by what came of them: the numbers behind a histogram."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping

Labels = tuple[str, ...]
SUCCESS = "success"


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What was counted under equal labels."""

    counts: tuple[int, ...]
    """For each bound those that took longer than the bound before and no longer than it; at the
    end those that took longer than any bound."""
    total: float = 0.0
    """Seconds of all together."""

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Timings:
    """Counts durations by labels. Methods may be called from any thread."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Count by these upper bounds: seconds, the shortest first."""
        self.bounds = bounds
        self._lock = threading.Lock()
        self._known: dict[Labels, Timing] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        reached = bisect.bisect_left(self.bounds, seconds)
        with self._lock:
            before = self._known.get(labels) or Timing((0,) * (len(self.bounds) + 1))
            counts = tuple(n + (i == reached) for i, n in enumerate(before.counts))
            self._known[labels] = Timing(counts, before.total + seconds)

    def read(self) -> Mapping[Labels, Timing]:
        """Return what was counted so far, by labels."""
        with self._lock:
            return dict(self._known)

    @contextlib.contextmanager
    def timed(self, *labels: str, failure: Callable[[Exception], str]) -> Iterator[None]:
        """Count what the block takes, under `labels` and its result: `success`, or the `failure`.

        Args:
            labels: known before.
            failure: names what an exception means: one of few words.
        """
        begun, result = time.monotonic(), SUCCESS
        try:
            yield
        except Exception as error:
            result = failure(error)
            raise
        finally:
            self.add(time.monotonic() - begun, *labels, result)
