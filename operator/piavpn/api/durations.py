"""Durations as `spec` writes them: Go's notation in whole hours, minutes and seconds. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

_PARTS = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")


def parse(text: str) -> timedelta:
    """Read `720h` or `1h30m`.

    Raises:
        ValueError: it is no such duration.
    """
    found = _PARTS.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"{text!r} is no duration, such as 720h or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_(duration: timedelta) -> str:
    """Write a duration of whole seconds, with no part that is zero."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
