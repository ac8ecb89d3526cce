"""What the API server of the tests does with objects: selects, merges."""

from __future__ import annotations

import copy
import re
from typing import Any

Object = dict[str, Any]


def selected(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(_fits(labels, each) for each in re.findall(r"[^,(]+(?:\([^)]*\))?", selector))


def _fits(labels: dict[str, str], requirement: str) -> bool:
    name, one_of, listed = requirement.partition(" in ")
    if one_of:
        return labels.get(name) in listed.strip("()").split(",")
    name, unequal, value = requirement.partition("!=")
    if unequal:
        return labels.get(name) != value
    name, equal, value = requirement.partition("=")
    return labels.get(name) == value if equal else name in labels


def has_field(item: Object, selector: str) -> bool:
    return all(_has(item, each) for each in selector.split(",") if each)


def _has(item: Object, requirement: str) -> bool:
    path, _, value = requirement.partition("=")
    found: Any = item
    for part in path.split("."):
        found = (found or {}).get(part)
    return bool(found == value)


def keep_restart(old: Object | None, new: Object) -> None:
    """Keep what `kubectl rollout restart` wrote: it is another field manager's."""
    key = "kubectl.kubernetes.io/restartedAt"
    before = (old or {}).get("spec", {}).get("template", {}).get("metadata", {})
    if asked := before.get("annotations", {}).get(key):
        new["spec"]["template"]["metadata"]["annotations"][key] = asked


def merged(old: Any, new: Any) -> Any:
    """Return `old` with the fields of `new`; conditions are merged by their type."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return copy.deepcopy(new)
    result = copy.deepcopy(old)
    for name, value in new.items():
        if name == "conditions":
            by_type = {item["type"]: item for item in result.get(name, [])}
            by_type |= {item["type"]: item for item in value}
            result[name] = list(by_type.values())
        elif name == "spec":
            result[name] = copy.deepcopy(value)
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
