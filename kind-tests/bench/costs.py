"""What a step cost, from what was used before and after it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from bench import results

_ROWS = (
    "all Ready, after as many more were applied at once",
    "from an app's sandbox until it is attached and locked, mean",
    "operator: writes for each new app",
    "operator: requests for each new app",
    "operator: processor time for each new app",
    "agent: requests for each new app",
    "agent: processor time for each new app",
    "requests of a pass that finds nothing to do, and its time",
    "idle processor time, operator / agents / gateways",
    "resident memory, operator / agent / gateway",
    "nft rules of the product on the node, and elements",
)
FLAT = 1.25
"""What an app among many may cost, of what it costs among few."""


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


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """What each part used while nothing happened, by its name."""

    used: Mapping[str, Reading]
    pods: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Churn:
    """What each part used while apps came and went, one at a time, by its name."""

    starts: int
    before: Mapping[str, Reading]
    used: Mapping[str, Reading]


def table(steps: Sequence[Step]) -> str:
    """Return the steps as Markdown, a step a column; what making used is for each new app."""
    columns = [(f"{step.apps} behind {step.gateways}", *_cells(step)) for step in steps]
    return results.markdown(list(zip(("apps behind gateways", *_ROWS), *columns, strict=True)))


def flatness(steps: Sequence[Step]) -> list[results.Measurement]:
    """Return what an app more costs where there are most, of what it costs where there are few.

    Behind one gateway; few are those of the first step that makes several. None without both.
    """
    several = [step for step in steps if step.gateways == 1 and step.new_apps > 1]
    if not several:
        return []
    few, most = several[0], max(several, key=lambda step: step.apps)
    if few.apps == most.apps:
        return []
    bar = results.Bar(FLAT, results.Statistic.MEDIAN)
    return [
        results.Measurement(
            f"{what} at {most.apps} apps, of that at {few.apps}",
            "",
            (of(most) / of(few),),
            bar,
            rounds=most.new_apps,
        )
        for what, of in _PRICES.items()
        if of(few)
    ]


def idle_table(idle: Idle) -> str:
    """Return what each part's pod uses in an hour in which nothing happens."""
    rows: list[tuple[str, ...]] = [
        ("a pod of", "requests an hour", "writes of them", "wake-ups a second", "processor")
    ]
    for part, reading in idle.used.items():
        hours = reading.time / 3600 * idle.pods[part]
        rows.append(
            (
                part,
                f"{reading.requests / hours:.0f}",
                f"{reading.writes / hours:.0f}",
                f"{reading.switches / reading.time / idle.pods[part]:.1f}",
                _milli(reading.cpu_seconds / reading.time / idle.pods[part]),
            )
        )
    return results.markdown(rows)


def churn_table(churn: Churn) -> str:
    """Return what each part used while apps came and went."""
    rows: list[tuple[str, ...]] = [
        (f"over {churn.starts} starts", "requests for each", "processor", "memory before", "after")
    ]
    for part, used in churn.used.items():
        rows.append(
            (
                part,
                f"{used.requests / churn.starts:.1f}",
                _milli(used.cpu_seconds / used.time),
                f"{churn.before[part].resident_mib:.0f} MiB",
                f"{used.resident_mib:.0f} MiB",
            )
        )
    return results.markdown(rows)


def _cells(step: Step) -> tuple[str, ...]:
    operator, agent, resync = step.made["operator"], step.made["node-agent"], step.resync
    passes = resync.passes
    idle = step.idle.values()
    return (
        f"{step.seconds:.1f} s ({step.new_apps})",
        f"{_attach_seconds(step):.2f} s",
        f"{operator.writes / step.new_apps:.1f}",
        f"{operator.requests / step.new_apps:.1f}",
        f"{operator.cpu_seconds / step.new_apps:.2f} s",
        f"{agent.requests / step.new_apps:.1f}",
        f"{agent.cpu_seconds / step.new_apps:.2f} s",
        f"{resync.requests / passes:.0f}, {resync.pass_seconds / passes * 1000:.0f} ms"
        if passes
        else "",
        " / ".join(f"{used.cpu_seconds / used.time * 1000:.0f}" for used in idle) + " mCPU",
        " / ".join(f"{used.resident_mib:.0f}" for used in idle) + " MiB",
        f"{step.rules}, {step.elements}",
    )


def _attach_seconds(step: Step) -> float:
    agent = step.made["node-agent"]
    return agent.attach_seconds / agent.attaches if agent.attaches else 0.0


def _milli(processors: float) -> str:
    return f"{processors * 1000:.0f} mCPU"


_PRICES: Mapping[str, Callable[[Step], float]] = {
    "attach time": _attach_seconds,
    "operator's requests for an app": lambda step: step.made["operator"].requests / step.new_apps,
    "operator's writes for an app": lambda step: step.made["operator"].writes / step.new_apps,
    "agent's requests for an app": lambda step: step.made["node-agent"].requests / step.new_apps,
}
