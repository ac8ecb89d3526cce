"""How often pods of each app were cut off, and why. Pure."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from piavpn.node.model import Owner

LEAKED, TAMPERED = "leaked", "tampered"

_MOST_OWNERS = 1000
"""A labelled pod is its own owner, and many of them may come and go."""


class CutOffs:
    """Counts them by owner: the pods themselves are gone when somebody asks."""

    def __init__(self) -> None:
        self._counts: dict[Owner, collections.Counter[str]] = {}

    def count(self, owner: Owner, why: str) -> None:
        """Count one more. Of too many owners the one that was counted first is forgotten."""
        self._counts.setdefault(owner, collections.Counter())[why] += 1
        if len(self._counts) > _MOST_OWNERS:
            del self._counts[next(iter(self._counts))]

    def of(self, owner: Owner) -> Mapping[str, int]:
        """Return how many there were for each reason; also for other threads."""
        counted = self._counts.get(owner, collections.Counter[str]())
        return {why: counted[why] for why in (LEAKED, TAMPERED)}
