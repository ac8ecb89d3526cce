"""What leak tests of a pod found, in numbers and in words. Pure."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from piavpn.api import codec, names

_TOLD = 4
"""Leaks that are named: an Event takes no more than 1024 characters."""
_RAW_FRAMES = {
    True: "raw frames are dropped on the node's side",
    False: "raw frames are not seen by the filter on the node's side, which is idle here",
    None: "there is no filter on the node's side, as the pod's link has no end here",
}
_UNCOUNTED = (
    ", test after test: none was seen to leave, and the routes are right; look in the pod for"
    " another packet filter, such as a service mesh's, that drops them before the lock does"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the last test of a pod found."""

    at: float
    """Seconds since the epoch."""
    tried: int = 0
    leaks: tuple[str, ...] = ()
    uncounted: int = 0
    """Packets of which the lock knows nothing: it was just replaced, or others drop them."""
    uncertain: bool = False
    """Whether it was so in several runs in a row."""
    raw_stopped: bool | None = None
    """Whether the node's filter dropped raw frames; None where the node has no end of the link."""
    failure: str = ""
    """Why the pod could not be tested."""
    asked: datetime | None = None
    """The last request that is answered."""

    @property
    def passed(self) -> bool:
        """Whether it was tested and nothing got out."""
        return not (self.leaks or self.uncounted or self.failure)

    @property
    def words(self) -> str:
        """Name the leaks, the first ones at least; empty where there are none."""
        more = len(self.leaks) - _TOLD
        rest = [f"and {more} more"] if more > 0 else []
        return "; ".join([*self.leaks[:_TOLD], *rest])

    @property
    def conclusive(self) -> bool:
        """Whether another test at once would find no more."""
        return not self.uncounted or self.uncertain

    @property
    def told(self) -> str:
        """Say it in words, and which request it answers."""
        answers = names.asked_for_at(codec.format_time(self.asked)) if self.asked else ""
        return f"{self._found}{answers}"

    @property
    def _found(self) -> str:
        if self.failure:
            return f"could not be made: {self.failure}"
        if self.leaks:
            return f"got out: {self.words}"
        if self.uncounted:
            few = f"the lock has counted {self.uncounted} of {self.tried} packets too few"
            return f"{few}{_UNCOUNTED}" if self.uncertain else few
        beyond = _RAW_FRAMES[self.raw_stopped]
        return f"{self.tried} attempts to get out past the tunnel failed; {beyond}"


@dataclasses.dataclass(slots=True)
class Tally:
    """How the tests of a pod's sandbox went."""

    passed: int = 0
    leaked: int = 0
    failed: int = 0

    def by_result(self) -> dict[str, int]:
        """Return the counts by name."""
        return {"passed": self.passed, "leaked": self.leaked, "failed": self.failed}

    def take(self, verdict: Verdict) -> None:
        """Count one more."""
        if verdict.passed:
            self.passed += 1
        elif verdict.leaks:
            self.leaked += 1
        else:
            self.failed += 1
