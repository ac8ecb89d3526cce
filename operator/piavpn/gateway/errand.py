"""A call beside the loop, in a thread of its own, whose outcome is asked for later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """One call at a time; a thread of it ends with the process at the latest."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._call: _Call[T] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing goes on, and nothing is to be told."""
        return self._call is None

    def begin(self, call: Callable[[], T]) -> None:
        """Begin the call, in the place of any earlier one."""
        self._call = _Call(call)
        threading.Thread(target=self._call.run, name=self._name, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for its end, no longer than that."""
        if self._call is not None:
            self._call.done.wait(seconds)

    def outcome(self) -> T | None:
        """Return what the call returned, once, or raise what it raised; None before its end."""
        if self._call is None or not self._call.done.is_set():
            return None
        ended, self._call = self._call, None
        if ended.error is not None:
            raise ended.error
        return ended.value


class _Call(Generic[T]):
    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self.done = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is used
            self.error = error
        finally:
            self.done.set()
