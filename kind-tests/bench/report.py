"""All that was measured in a run, for JSON and as Markdown, whatever of it failed. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bench import costs, results


@dataclasses.dataclass(slots=True)
class Part:
    """A part of a run, and what has come of it so far."""

    name: str
    is_data_path: bool = False
    seconds: float = 0.0
    """That it took."""
    done: bool = False
    """Whether all of it was measured."""
    error: str = ""
    """Why it was not; empty, too, where the run ended before."""
    measurements: list[results.Measurement] = dataclasses.field(default_factory=list)
    steps: list[costs.Step] = dataclasses.field(default_factory=list)
    idle: costs.Idle | None = None
    churn: costs.Churn | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """What numbers depend on."""

    machine: str
    image: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A run."""

    where: Where
    parts: Sequence[Part]
    leaked_packets: int | None
    """Since it began; None: the detector did not answer."""

    @property
    def complete(self) -> bool:
        """Whether all was measured, and nothing leaked."""
        return self.leaked_packets == 0 and all(part.done for part in self.parts)


def document(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it, samples included."""
    return {
        "machine": report.where.machine,
        "image": report.where.image,
        "leakedPackets": report.leaked_packets,
        "parts": [_part(part) for part in report.parts],
    }


def markdown(report: Report) -> str:
    """Return the report's tables; what nothing was measured of is left out, or named at the end."""
    parts = report.parts
    every = [one for part in parts for one in part.measurements]
    steps = [step for part in parts for step in part.steps]
    flatness = costs.flatness(steps)
    on_path = [one for part in parts if part.is_data_path for one in part.measurements]
    control = [one for part in parts if not part.is_data_path for one in part.measurements]
    sections = {
        "Numbers": [results.numbers(every)] if every else [],
        "Data path": _data_path(every, on_path) if on_path else [],
        "Control path": [results.table(control)] if control else [],
        "Scale": [costs.table(steps), *([results.table(flatness)] if flatness else [])]
        if steps
        else [],
        "While nothing happens": [costs.idle_table(part.idle) for part in parts if part.idle],
        "While apps come and go": [costs.churn_table(part.churn) for part in parts if part.churn],
        "Bars": [results.bars([*every, *flatness]) + _leaked(report)],
        "Not measured": [_not_measured(parts)] if not all(part.done for part in parts) else [],
    }
    told = [f"## {title}\n\n" + "\n".join(texts) for title, texts in sections.items() if texts]
    return "\n".join([f"Measured on {report.where.machine}.\n", *told])


def _data_path(
    every: Sequence[results.Measurement], on_path: Sequence[results.Measurement]
) -> list[str]:
    # Those first that have all paths, in their order.
    ordered = [*on_path, *(one for one in every if one not in on_path)]
    tables = [results.side_by_side(ordered, statistic) for statistic in results.Statistic]
    return [*tables, results.table(on_path)]


def _part(part: Part) -> Mapping[str, Any]:
    measured = {
        "measurements": results.document(part.measurements),
        "steps": [dataclasses.asdict(step) for step in part.steps],
        "idle": dataclasses.asdict(part.idle) if part.idle else None,
        "churn": dataclasses.asdict(part.churn) if part.churn else None,
    }
    known = {key: value for key, value in measured.items() if value}
    told = {"name": part.name, "done": part.done, "seconds": part.seconds, "error": part.error}
    return told | known


def _leaked(report: Report) -> str:
    if report.leaked_packets is None:
        return "- not known: packets leaked meanwhile\n"
    missed = "missed: " if report.leaked_packets else ""
    return f"- {missed}packets leaked meanwhile: {report.leaked_packets}, bar 0\n"


def _not_measured(parts: Sequence[Part]) -> str:
    lines = [
        f"- {part.name}: {part.error or 'the run ended before'}" for part in parts if not part.done
    ]
    return "\n".join(lines) + "\n"
