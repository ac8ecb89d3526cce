"""The CRDs as the tests read them, and the structural half of an API server's validation."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PLURALS = ("piavpns", "vpnservicecontainers")

AS_IN_A_POD = (
    ".valueFrom",
    ".livenessProbe",
    ".readinessProbe",
    ".startupProbe",
    ".resources",
    ".securityContext",
    ".mounts[].persistentVolumeClaim",
    ".mounts[].hostPath",
    ".mounts[].nfs",
    ".mounts[].emptyDir",
    ".mounts[].configMap",
    ".mounts[].secret",
    ".template.spec",
)
"""Ends of the paths of fields that are a pod's own, under the same names, and handed on to it."""

Schema = dict[str, Any]


def load(plural: str) -> dict[str, Any]:
    """Return the CRD as its file has it."""
    crd: dict[str, Any] = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    return crd


def version(plural: str) -> dict[str, Any]:
    """Return the CRD's one version."""
    (only,) = load(plural)["spec"]["versions"]
    return dict(only)


def schema(plural: str) -> Schema:
    """Return the schema of the CRD's one version."""
    return dict(version(plural)["schema"]["openAPIV3Schema"])


def walk(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield each node of a schema with its path, `.spec.ports[].name`; the root's path is empty."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")


def problems(value: Any, node: Schema, path: str = "") -> list[str]:
    """Say what an API server would refuse about a value, but for CEL rules; empty is good."""
    if "x-kubernetes-int-or-string" in node:
        return [] if isinstance(value, int | str) else [f"{path}: is no integer or string"]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, kinds[node["type"]]):
        return [f"{path}: is no {node['type']}"]
    found = [f"{path}: {text}" for text in _broken_bounds(value, node)]
    if isinstance(value, dict) and "properties" in node:
        known = node["properties"]
        if "x-kubernetes-preserve-unknown-fields" not in node:
            found += [f"{path}.{name}: unknown field" for name in value.keys() - known.keys()]
        found += [
            f"{path}.{name}: required" for name in node.get("required", []) if name not in value
        ]
        for name in known.keys() & value.keys():
            found += problems(value[name], known[name], f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += problems(item, node["items"], f"{path}[{index}]")
    return found


def _broken_bounds(value: Any, node: Schema) -> list[str]:
    checks: dict[str, Callable[[Any], bool]] = {
        "enum": lambda bound: value in bound,
        "minLength": lambda bound: len(value) >= bound,
        "maxLength": lambda bound: len(value) <= bound,
        "maxItems": lambda bound: len(value) <= bound,
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "pattern": lambda bound: re.search(bound, value) is not None,
        "x-kubernetes-list-map-keys": lambda keys: _unique(value, keys),
    }
    return [
        f"breaks {name} {node[name]}"
        for name, holds in checks.items()
        if name in node and not holds(node[name])
    ]


def _unique(items: list[dict[str, Any]], keys: list[str]) -> bool:
    seen = [tuple(item.get(key) for key in keys) for item in items]
    return len(seen) == len(set(seen))
