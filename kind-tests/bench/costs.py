"""What a step cost, from what was used before and after it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_HEADINGS = (
    "apps",
    "gateways",
    "all Ready",
    "attach",
    "operator: requests, of them writes",
    "CPU",
    "agent: requests",
    "CPU",
    "operator's pass: requests",
    "time",
    "idle: operator",
    "agents",
    "gateways",
    "memory: operator",
    "agent",
    "gateway",
    "nft rules",
    "elements",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a part has used since it began."""

    time: float
    """Of the reading, in seconds."""
    cpu_seconds: float
    """Of its processes and of the programs that they ran."""
    resident_mib: float
    """Now."""
    switches: float
    """Times that a thread had waited and was woken."""
    requests: float
    """To the Kubernetes API, without kopf's."""
    writes: float
    passes: float = 0
    pass_seconds: float = 0
    attaches: float = 0
    attach_seconds: float = 0

    def __add__(self, other: Reading) -> Reading:
        """Return both as one: the sum, and the larger memory."""
        added = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in dataclasses.fields(self)
        }
        largest = max(self.resident_mib, other.resident_mib)
        return Reading(**added | {"time": self.time, "resident_mib": largest})

    def since(self, before: Reading) -> Reading:
        """Return what was used since an earlier reading; the memory is what it is now."""
        used = {
            field.name: getattr(self, field.name) - getattr(before, field.name)
            for field in dataclasses.fields(self)
        }
        return Reading(**used | {"resident_mib": self.resident_mib})


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """Apps that were made, and what there is of them then. All by the part's name."""

    apps: int
    """That there are then."""
    new_apps: int
    gateways: int
    seconds: float
    """Until all were Ready."""
    made: Mapping[str, Reading]
    """What making them used."""
    idle: Mapping[str, Reading]
    """What was used while nothing happened."""
    resync: Reading
    """What the operator used for passes that found nothing to do."""
    rules: int
    """On the node that has most."""
    elements: int


def table(steps: Sequence[Step]) -> str:
    """Return the steps as a Markdown table; what making used is for each new app."""
    lines = [_HEADINGS, ("---",) * len(_HEADINGS), *map(_cells, steps)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def document(step: Step) -> dict[str, Any]:
    """Return the step as JSON has it."""
    return dataclasses.asdict(step)


def idle_table(used: Mapping[str, Reading], pods: Mapping[str, int]) -> str:
    """Return what each part's pod uses in an hour in which nothing happens."""
    rows: list[tuple[str, ...]] = [
        ("a pod of", "requests an hour", "of them writes", "wake-ups a second", "CPU")
    ]
    rows.append(("---",) * len(rows[0]))
    for part, reading in used.items():
        hours = reading.time / 3600 * pods[part]
        rows.append(
            (
                part,
                f"{reading.requests / hours:.0f}",
                f"{reading.writes / hours:.0f}",
                f"{reading.switches / reading.time / pods[part]:.1f}",
                _milli(reading.cpu_seconds / reading.time / pods[part]),
            )
        )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cells(step: Step) -> tuple[str, ...]:
    operator, agent = step.made["operator"], step.made["node-agent"]
    attach = agent.attach_seconds / agent.attaches if agent.attaches else 0.0
    resync = step.resync
    return (
        str(step.apps),
        str(step.gateways),
        f"{step.seconds:.1f} s",
        f"{attach:.2f} s",
        f"{operator.requests / step.new_apps:.1f}, {operator.writes / step.new_apps:.1f}",
        f"{operator.cpu_seconds / step.new_apps:.2f} s",
        f"{agent.requests / step.new_apps:.1f}",
        f"{agent.cpu_seconds / step.new_apps:.2f} s",
        f"{resync.requests / resync.passes:.0f}" if resync.passes else "",
        f"{resync.pass_seconds / resync.passes * 1000:.0f} ms" if resync.passes else "",
        *(_milli(used.cpu_seconds / used.time) for used in step.idle.values()),
        *(f"{used.resident_mib:.0f} MiB" for used in step.idle.values()),
        str(step.rules),
        str(step.elements),
    )


def _milli(processors: float) -> str:
    return f"{processors * 1000:.0f} mCPU"
