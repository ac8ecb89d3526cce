"""How long the calls to PIA took, and what came of them, since this process began."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from piavpn.pia import errors
from piavpn.timings import Timings

P = ParamSpec("P")
T = TypeVar("T")

MADE = Timings((0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0))
"""By call and result: `success`, or the reason of the error."""


def counted(call: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have each call of a function that raises PiaErrors counted under this name."""

    def around(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def counting(*args: P.args, **kwargs: P.kwargs) -> T:
            with MADE.timed(call, failure=_reason):
                return function(*args, **kwargs)

        return counting

    return around


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, errors.PiaError) else errors.PiaError.reason
