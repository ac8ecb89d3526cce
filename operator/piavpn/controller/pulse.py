"""Whether the thread that makes the passes gets on: what the liveness probe asks."""

from __future__ import annotations

import time
from collections.abc import Callable

_STUCK_SECONDS = 120.0
"""A single request to the API server ends within 35."""


class Pulse:
    """Beats whenever a step is done, however many steps a pass has. From any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Note that a step is done."""
        self._last = self._clock()

    def stuck(self) -> bool:
        """Tell whether no step was done for so long that none will be."""
        return self._clock() - self._last >= _STUCK_SECONDS
