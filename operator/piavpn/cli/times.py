"""Times as people read them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = (("d", 86400, 48 * 3600), ("h", 3600, 120 * 60), ("m", 60, 120), ("s", 1, 0))
"""Each with its seconds, and from how many seconds on it is used."""


def ago(then: datetime | None, now: datetime) -> str:
    """Return how long ago `then` was, or in what time it is; empty without it."""
    if then is None:
        return ""
    return f"{length(now - then)} ago" if then <= now else f"in {length(then - now)}"


def length(span: timedelta) -> str:
    """Return a span in the largest unit that says enough."""
    seconds = int(span.total_seconds())
    name, size = next((name, size) for name, size, least in _UNITS if seconds >= least)
    return f"{seconds // size}{name}"
