"""Which node agents are heard of, from the Leases that they renew. Pure.

A clock of another machine proves little, so an agent is silent once its Lease was seen not to
change for as long as it lasts, as leader election has it. Time in which the API server did not
answer does not count: agents could not renew then either. The one exception is a Lease that is
long over when it is first seen: after a restart the operator need not wait to know.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from piavpn.api import names
from piavpn.controller import model

_ABSENT_SECONDS = 40.0
"""For which a node with pods of ours may have no Lease: its agent may just be starting."""
_SKEW = timedelta(seconds=60)
"""Between the clocks of nodes: more than that is not to be expected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """What is known of one node's agent."""

    renewed: datetime | None
    """By the agent's clock; None where there is no Lease."""
    limit: float
    """Seconds for which a renewal counts."""
    age: float = 0.0
    """Seconds through which we watched and saw no renewal."""

    @property
    def silent(self) -> bool:
        """Whether nothing is to be believed any more that this agent has said."""
        return self.age > self.limit


def heard(
    before: Mapping[str, Heartbeat],
    leases: Iterable[model.Object],
    expected: Iterable[str],
    elapsed: float,
    now: datetime,
) -> dict[str, Heartbeat]:
    """Return what is known after another look, by node.

    Args:
        before: what was known.
        leases: the node agents' Leases now.
        expected: nodes that must have an agent, for pods of ours are on them.
        elapsed: seconds of watching since the last look.
        now: our own clock.
    """
    found = {_node(lease): _first(lease, now) for lease in leases}
    absent = {node: Heartbeat(None, _ABSENT_SECONDS) for node in expected if node not in found}
    return {
        node: _aged(before.get(node), heartbeat, elapsed)
        for node, heartbeat in (found | absent).items()
    }


def _aged(before: Heartbeat | None, found: Heartbeat, elapsed: float) -> Heartbeat:
    if before is None:
        return found
    if before.renewed != found.renewed:
        return dataclasses.replace(found, age=0.0)
    return dataclasses.replace(found, age=before.age + elapsed)


def _first(lease: model.Object, now: datetime) -> Heartbeat:
    spec = lease.get("spec") or {}
    seconds = float(spec.get("leaseDurationSeconds") or _ABSENT_SECONDS)
    told = spec.get("renewTime")
    if not told:
        return Heartbeat(None, seconds)
    renewed = datetime.fromisoformat(told)
    over = now - renewed > timedelta(seconds=seconds) + _SKEW
    return Heartbeat(renewed, seconds, math.inf if over else 0.0)


def _node(lease: model.Object) -> str:
    name: str = lease["metadata"]["name"]
    return name.removeprefix(names.lease_name(""))
