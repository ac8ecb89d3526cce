"""Wait on conditions, never on time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], what: str, *, timeout: float = 60.0) -> T:
    """Call `check` until it returns something true and return that.

    A check may raise AssertionError to say what it saw instead; the last one is shown.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            seen = result = check()
            if result:
                return result
        except AssertionError as error:
            seen = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}; last seen: {seen}")
        time.sleep(0.25)
