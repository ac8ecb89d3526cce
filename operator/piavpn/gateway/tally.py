"""What happened to the tunnel since the process began, counted off its memories. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from piavpn.gateway.memory import Memory
from piavpn.gateway.moves import Purpose

SUCCESS, FAILURE = "success", "failure"
_NO_REGISTRATIONS = {SUCCESS: 0}
_NO_RENEWALS = {SUCCESS: 0, FAILURE: 0}


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """Counts; those of kinds that never happened are there too, as zero."""

    registrations: Mapping[str, int] = dataclasses.field(default_factory=lambda: _NO_REGISTRATIONS)
    """Attempts at a session by result: `success`, or the reason of the failure."""
    renewals: Mapping[str, int] = dataclasses.field(default_factory=lambda: _NO_RENEWALS)
    """Those among them that were renewals: `success` or `failure`."""
    failovers: int = 0
    """Sessions that were dead and in whose place came others, or none."""
    exit_address_changes: int = 0

    def after(self, before: Memory, after: Memory) -> Tally:
        """Return the counts after one step, from one memory to the next."""
        registrations, renewals = self.registrations, self.renewals
        candidate = before.candidate
        if candidate is not None and after.candidate is None:
            failure = after.failure
            registrations = _more(registrations, failure.reason if failure else SUCCESS)
            if candidate.purpose is Purpose.RENEWAL:
                renewals = _more(renewals, FAILURE if failure else SUCCESS)
        seen, sees = before.exit_address, after.exit_address
        changed = seen is not None and sees is not None and seen != sees
        return Tally(
            registrations,
            renewals,
            self.failovers + _gave_up(before, after),
            self.exit_address_changes + changed,
        )


def _gave_up(before: Memory, after: Memory) -> bool:
    if before.lost is not None:
        return after.lost is None and after.session != before.lost.session
    return before.session is not None and after.session is None and after.lost is None


def _more(counts: Mapping[str, int], what: str) -> Mapping[str, int]:
    return {**counts, what: counts.get(what, 0) + 1}
