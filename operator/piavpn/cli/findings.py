"""What the doctor finds: one line each."""

from __future__ import annotations

import dataclasses
from enum import StrEnum


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check of one thing."""

    level: Level
    check: str
    """What was checked, in few words."""
    said: str
    """How it is."""
    todo: str = ""
    """What to do; empty where all is well."""


def ok(check: str, said: str) -> Finding:
    """Return that all is well."""
    return Finding(Level.OK, check, said)


def warn(check: str, said: str, todo: str) -> Finding:
    """Return that something works less well than it could, or could not be looked at."""
    return Finding(Level.WARN, check, said, todo)


def fail(check: str, said: str, todo: str) -> Finding:
    """Return that something does not work, or protects less than it must."""
    return Finding(Level.FAIL, check, said, todo)
