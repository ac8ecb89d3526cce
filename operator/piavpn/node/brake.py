"""How often an owner's damaged pods are deleted. Pure.

Whatever damages each next one, too, would else make a loop of it that loads the whole cluster.
"""

from __future__ import annotations

import dataclasses

from piavpn.node.model import Owner, Pod

AT_ONCE = 8
"""Removals of an owner's pods that need not wait: whoever damages a few by hand is no loop."""
FIRST_SECONDS, LONGEST_SECONDS = 10.0, 300.0
"""At least, between an owner's further removals: it doubles with each."""
HEALTH_SECONDS = 1800.0
"""Without a damaged pod: after that the owner's next removal is a first one."""
_MOST_DOUBLINGS = 5


@dataclasses.dataclass(slots=True)
class _Past:
    uid: str
    """The pod that was removed last."""
    at: float
    damaged_at: float
    """When a pod of the owner was last seen damaged."""
    removals: int = 1


class Brake:
    """Remembers each owner's removals. An agent that restarts begins anew."""

    def __init__(self) -> None:
        self._past: dict[Owner | str, _Past] = {}

    def lets(self, pod: Pod, now: float) -> bool:
        """Whether a damaged pod may be removed now; one that was asked for may be again.

        Args:
            pod: to be asked for at each look, as that it is damaged is remembered here.
            now: the monotonic clock.
        """
        self._past = {
            owner: past
            for owner, past in self._past.items()
            if now - past.damaged_at < HEALTH_SECONDS
        }
        key = pod.made_by or pod.owner
        past = self._past.get(key)
        if past is None:
            self._past[key] = _Past(pod.uid, now, now)
            return True
        past.damaged_at = now
        if past.uid == pod.uid:
            return True
        if now - past.at < _wait(past.removals):
            return False
        past.uid, past.at, past.removals = pod.uid, now, past.removals + 1
        return True


def _wait(removals: int) -> float:
    """Return the seconds after so many removals until the next."""
    if removals < AT_ONCE:
        return 0.0
    doublings = min(removals - AT_ONCE, _MOST_DOUBLINGS)
    return min(FIRST_SECONDS * 2.0**doublings, LONGEST_SECONDS)
