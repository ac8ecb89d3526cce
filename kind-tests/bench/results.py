"""What was measured, against its bar. Pure: numbers in, texts and documents out."""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Sequence
from typing import Any

_DIGITS = {
    "s": 2,
    "ms": 2,
    "s/Gbit": 2,
    "%": 2,
    "": 2,
    "MiB": 0,
    "Mbit/s": 0,
    "pings": 0,
    "connections": 0,
    "logins": 0,
    "ports": 0,
}
"""How many decimals a unit's numbers have in the table; a ratio has no unit."""
_HEADINGS = ("measured", "rounds", "median", "p95", "bar", "met")


class Statistic(enum.StrEnum):
    """Which number of a measurement a bar is for."""

    MEDIAN = "median"
    P95 = "p95"


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """What a measurement must not exceed, or must reach where more is better; in its unit."""

    limit: float
    statistic: Statistic = Statistic.P95


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """The samples of one quantity, in a unit of `_DIGITS`.

    `rounds` are those that they come from: as many as samples, but where a sample sums up several.
    `path` is the way to the Internet that was measured, where several are set side by side. `row`
    is what it is called in the README, and in the comparison of paths, in one row with all others
    of that name; empty: it is in none of the README's, and by itself in the comparison.
    """

    what: str
    unit: str
    samples: tuple[float, ...]
    bar: Bar | None = None
    more_is_better: bool = False
    rounds: int = 0
    path: str = ""
    row: str = ""

    def __post_init__(self) -> None:
        if not self.rounds:
            object.__setattr__(self, "rounds", len(self.samples))

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The sample that 95 % of them are as good as, or better: with few of them, the worst."""
        best_first = sorted(self.samples, reverse=self.more_is_better)
        return best_first[math.ceil(0.95 * len(best_first)) - 1]

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without a bar."""
        if self.bar is None:
            return None
        if self.more_is_better:
            return self.judged >= self.bar.limit
        return self.judged <= self.bar.limit

    @property
    def judged(self) -> float:
        """What the bar is for: the 95th percentile, where it does not say otherwise."""
        is_median = self.bar is not None and self.bar.statistic is Statistic.MEDIAN
        return self.median if is_median else self.p95


def table(measurements: Sequence[Measurement]) -> str:
    """Return the measurements as a Markdown table, without those of paths."""
    return markdown([_HEADINGS, *(_cells(one) for one in measurements if not one.path)])


def side_by_side(
    measurements: Sequence[Measurement], statistic: Statistic = Statistic.MEDIAN
) -> str:
    """Return a number of what was measured on several paths, a path a column, as Markdown."""
    cell = _medians if statistic is Statistic.MEDIAN else _p95s
    on_paths = [one for one in measurements if one.path]
    paths = list(dict.fromkeys(one.path for one in on_paths))
    rows: dict[str, dict[str, list[Measurement]]] = {}
    for one in on_paths:
        rows.setdefault(one.row or one.what, {}).setdefault(one.path, []).append(one)
    return markdown(
        [
            (str(statistic), *paths),
            *((what, *(cell(row.get(path, ())) for path in paths)) for what, row in rows.items()),
        ]
    )


def numbers(measurements: Sequence[Measurement]) -> str:
    """Return the README's table."""
    rows: dict[str, list[Measurement]] = {}
    for one in measurements:
        if one.row and not one.path:
            rows.setdefault(one.row, []).append(one)
    cells = ((what, _medians(row), _p95s(row), _rounds(row)) for what, row in rows.items())
    return markdown([("what", "median", "p95", "rounds"), *cells])


def bars(measurements: Sequence[Measurement]) -> str:
    """Return in lines of Markdown how many bars are met, and which are missed by what.

    Nothing of measurements without any.
    """
    judged = [one for one in measurements if one.met is not None]
    missed = [one for one in judged if not one.met]
    if not judged:
        return ""
    lines = [f"{len(judged) - len(missed)} of {len(judged)} bars are met."]
    lines += [f"- missed: {one.what}: {_judged(one)}, {_bar(one)}" for one in missed]
    return "\n".join(lines) + "\n"


def document(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return the measurements as JSON has them, samples included."""
    return [
        dataclasses.asdict(one) | {"median": one.median, "p95": one.p95, "met": one.met}
        for one in measurements
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns; the first row has the headings."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _cells(one: Measurement) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "no"}[one.met]
    return (
        one.what,
        str(one.rounds),
        _number(one.median, one.unit),
        _number(one.p95, one.unit) if len(one.samples) > 1 else "",
        _bar(one),
        met,
    )


def _bar(one: Measurement) -> str:
    bar = one.bar
    if bar is None:
        return ""
    sign = "≥" if one.more_is_better else "≤"
    return f"{bar.statistic} {sign} {bar.limit:g} {one.unit}".strip()


def _judged(one: Measurement) -> str:
    return _number(one.judged, one.unit)


def _medians(row: Sequence[Measurement]) -> str:
    return _joined([(one.median, one.unit) for one in row])


def _p95s(row: Sequence[Measurement]) -> str:
    several = all(len(one.samples) > 1 for one in row)
    return _joined([(one.p95, one.unit) for one in row]) if several else ""


def _rounds(row: Sequence[Measurement]) -> str:
    return " / ".join(dict.fromkeys(str(one.rounds) for one in row))


def _joined(values: Sequence[tuple[float, str]]) -> str:
    """Return numbers of one row, their unit once."""
    numbers = [_number(value, unit).removesuffix(unit).strip() for value, unit in values]
    units = dict.fromkeys(unit for _, unit in values)
    return f"{' / '.join(numbers)} {' / '.join(units)}".strip()


def _number(value: float, unit: str) -> str:
    return f"{value:.{_DIGITS[unit]}f} {unit}".strip()
