"""Where a gateway may run, in the words of a pod's spec. Its apps follow it."""

from __future__ import annotations

import dataclasses
from enum import StrEnum


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclasses.dataclass(frozen=True, slots=True)
class Toleration:
    """Taints of nodes that do not keep a pod away."""

    key: str | None = None
    """None: any, which needs the operator Exists."""
    operator: TolerationOperator | None = None
    value: str | None = None
    effect: TaintEffect | None = None
    toleration_seconds: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """What may be said about the gateway's pod."""

    node_selector: dict[str, str] | None = None
    tolerations: tuple[Toleration, ...] = ()
    """Its apps' pods have them too: they must come to its node."""
    priority_class_name: str | None = None
