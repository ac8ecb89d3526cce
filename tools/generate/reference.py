"""The reference of both kinds, written from the CRDs' own words: `make reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs/reference.md"
KINDS = ("piavpns", "vpnservicecontainers")

A_PODS = (
    "valueFrom",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "resources",
    "securityContext",
    "persistentVolumeClaim",
    "hostPath",
    "nfs",
    "emptyDir",
    "configMap",
    "secret",
    "template.spec",
)
"""Ends of the paths of fields that are a pod's own: Kubernetes documents what is in them."""

HEAD = """# Reference

Written from [the CRDs](../crds) by `make reference`; `kubectl explain piavpn.spec` says the same.
What is *as in a pod* has the fields that it has there.
"""

Schema = dict[str, Any]


def text() -> str:
    """Return the whole page."""
    return HEAD + "".join(_kind(plural) for plural in KINDS)


def _kind(plural: str) -> str:
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    names, scope = crd["spec"]["names"], crd["spec"]["scope"]
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    short = ", ".join(f"`{name}`" for name in [names["plural"], *names.get("shortNames", [])])
    reach = "in a namespace" if scope == "Namespaced" else "of the whole cluster"
    lines = [
        f"\n## {names['kind']}\n",
        f"`{crd['spec']['group']}/{version['name']}`, {reach}; {short}.\n",
        _words(schema) + "\n",
    ]
    for part in ("spec", "status"):
        lines += ["| field | type | |", "|---|---|---|"]
        lines += list(_rows(schema["properties"][part], part, required=False))
        lines.append("")
    return "\n".join(lines)


def _rows(node: Schema, path: str, *, required: bool) -> Iterator[str]:
    inner = node.get("items", node)
    is_pods = path.rstrip("[]").endswith(A_PODS)
    notes = [_words(node)]
    if is_pods:
        notes.append("*As in a pod.*")
    if required:
        notes.append("**Required.**")
    yield f"| `{path}` | {_type(node)} | {' '.join(notes)} |"
    if is_pods:
        return
    step = f"{path}[]" if "items" in node else path
    for name, child in inner.get("properties", {}).items():
        yield from _rows(child, f"{step}.{name}", required=name in inner.get("required", []))


def _type(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match node.get("type"):
        case "array":
            return f"list of {_type(node['items'])}s".replace("ys", "ies")
        case "object" if "additionalProperties" in node:
            return f"map of {_type(node['additionalProperties'])}s"
        case str(kind):
            return kind
        case _:
            return "any"


def _words(node: Schema) -> str:
    return _escaped(node.get("description", ""))


def _escaped(words: str) -> str:
    joined = " ".join(words.split())
    return joined.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def main() -> None:
    """Write the page."""
    TARGET.write_text(text())


if __name__ == "__main__":
    main()
