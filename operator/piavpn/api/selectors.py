"""Label selectors, as in metav1.LabelSelector. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum


class SelectorOperator(StrEnum):
    """How a label is compared, as in metav1.LabelSelector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclasses.dataclass(frozen=True, slots=True)
class SelectorRequirement:
    """One requirement of a label selector."""

    key: str
    operator: SelectorOperator
    values: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class LabelSelector:
    """Labels that an object must have: all of these; an empty selector takes every object."""

    match_labels: dict[str, str] = dataclasses.field(default_factory=dict)
    match_expressions: tuple[SelectorRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _is_met(requirement, labels) for requirement in self.match_expressions
        )


def _is_met(requirement: SelectorRequirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case SelectorOperator.IN:
            return labels.get(requirement.key) in requirement.values
        case SelectorOperator.NOT_IN:
            return labels.get(requirement.key) not in requirement.values
        case SelectorOperator.EXISTS:
            return requirement.key in labels
        case SelectorOperator.DOES_NOT_EXIST:
            return requirement.key not in labels
