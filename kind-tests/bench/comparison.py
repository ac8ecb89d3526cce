"""What paths have to do with each other. Pure: samples in, measurements out."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench import results

T = TypeVar("T")

APP, GATEWAY = "app", "gateway itself"
ELSEWHERE = "app on another node"
SIDECAR, VXLAN = "tunnel in the app's pod", "VXLAN to a gateway's pod"


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """What was measured on each path in each round."""

    what: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    """By path; the samples of one round have the same place in each."""
    more_is_better: bool = False
    row: str = ""
    """Of the comparison, where it has several quantities."""

    def measurements(self) -> list[results.Measurement]:
        """Return one measurement for each path."""
        return [
            results.Measurement(
                self.what,
                self.unit,
                tuple(samples),
                None,
                self.more_is_better,
                path=path,
                row=self.row,
            )
            for path, samples in self.samples.items()
        ]

    def ratio(
        self, other: str, limit: float | None = None, *, of: str = APP, row: str = ""
    ) -> results.Measurement:
        """Return what a path has of the other's, round by round: samples of a round compare.

        Args:
            other: the path that is the measure.
            limit: of the median, if there is a bar.
            of: the path that is measured by it.
            row: of the README that it is in, if any.
        """
        pairs = zip(self.samples[of], self.samples[other], strict=True)
        bar = None if limit is None else results.Bar(limit, results.Statistic.MEDIAN)
        return results.Measurement(
            f"{self.what}, {of} / {other}",
            "",
            tuple(one / another for one, another in pairs),
            bar,
            self.more_is_better,
            row=row,
        )


def quantity(  # noqa: PLR0913 - it has that many properties
    what: str,
    unit: str,
    sampled: Mapping[str, Sequence[T]],
    value: Callable[[T], float],
    *,
    more_is_better: bool = False,
    row: str = "",
) -> Quantity:
    """Return one value of all that was sampled by path."""
    values = {path: [value(one) for one in samples] for path, samples in sampled.items()}
    return Quantity(what, unit, values, more_is_better, row)


def difference(
    what: str, ours: Sequence[float], others: Sequence[float], limit: float | None
) -> results.Measurement:
    """Return by how many seconds the median of ours is above that of the others."""
    above = statistics.median(ours) - statistics.median(others)
    bar = None if limit is None else results.Bar(limit, results.Statistic.MEDIAN)
    return results.Measurement(what, "s", (above,), bar, rounds=len(ours))
