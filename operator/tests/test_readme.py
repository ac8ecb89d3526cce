"""The documentation names every field, condition and reason that there is, and no other."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import crd_schema
import metric_names
import pytest

from piavpn import gateway, node
from piavpn.api import conditions
from piavpn.controller import reasons
from piavpn.pia import errors

PAGES = [page for page in (crd_schema.ROOT / "docs").glob("*.md") if page.name != "reference.md"]
TEXT = "\n".join(page.read_text() for page in PAGES)


def rows(first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading begins so, without its two head lines."""
    _, _, rest = TEXT.partition(f"\n| {first_heading}")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def described_fields(kind: str) -> set[str]:
    fields = (re.findall(r"`([^`]+)`", row[0]) for row in rows(f"{kind} "))
    return {name.rpartition(".")[2] for row in fields for name in row}


def described_reasons(kind: str) -> set[str]:
    listed = {reason for row in rows(f"{kind} | reason") for reason in row[1].split(", ")}
    return {reason for reason in listed if not reason.startswith("as ")}


def described_conditions(kind: str) -> set[str]:
    found = (re.findall(r"\*\*([\w./]+)", row[0]) for row in rows(f"{kind} | reason"))
    return {name for names in found for name in names}


def literal_reasons(package: Path) -> Iterator[str]:
    """Yield the CamelCase strings of a package's reasons, or of all its modules without such."""
    modules = (
        [package / "reasons.py"] if (package / "reasons.py").exists() else package.glob("*.py")
    )
    for module in modules:
        for item in ast.walk(ast.parse(module.read_text())):
            match item:
                case ast.Constant(value=str(text)) if re.fullmatch(r"[A-Z][a-zA-Z0-9]*[a-z]", text):
                    yield text


def written_reasons() -> set[str]:
    """Return every reason that some part of the product can write into a condition."""
    problems: list[type[errors.PiaError]] = [errors.PiaError, *errors.PiaError.__subclasses__()]
    literals = {
        reason
        for package in (gateway, node)
        for reason in literal_reasons(Path(str(package.__file__)).parent)
    }
    return (
        set(reasons.Reason)
        | {problem.reason for problem in problems}
        | literals - set(conditions.Status)
        | set(reasons_of_new_objects())
    )


def reasons_of_new_objects() -> Iterator[str]:
    """Yield the reasons that objects have before the operator has seen them."""
    for plural in crd_schema.PLURALS:
        status = crd_schema.schema(plural)["properties"]["status"]
        yield from (condition["reason"] for condition in status["default"]["conditions"])


@pytest.mark.parametrize(
    ("kind", "plural"),
    [("PiaVpn (`pvpn`)", "piavpns"), ("VpnServiceContainer (`vpnapp`)", "vpnservicecontainers")],
)
def test_every_field_of_a_spec_is_described(kind: str, plural: str) -> None:
    leaves = {
        path.rpartition(".")[2].removesuffix("[]")
        for path, node in crd_schema.walk(crd_schema.schema(plural)["properties"]["spec"])
        if _is_described_by_itself(path, node)
    }
    assert described_fields(kind) == leaves


def _is_described_by_itself(path: str, node: crd_schema.Schema) -> bool:
    """Tell whether the documentation names the field: not those within what is as in a pod."""
    if path.endswith("[]") or any(f"{part}." in path for part in crd_schema.AS_IN_A_POD):
        return False
    is_whole = path.endswith(crd_schema.AS_IN_A_POD)
    return is_whole or "properties" not in node.get("items", node)


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("PiaVpn", conditions.PiaVpnCondition),
        ("VpnServiceContainer", conditions.ServiceCondition),
        ("Pod", conditions.PodCondition),
    ],
)
def test_every_condition_is_explained(kind: str, types: type[StrEnum]) -> None:
    assert described_conditions(kind) == set(types)


def test_every_reason_is_explained_and_no_other() -> None:
    explained = set().union(*map(described_reasons, ("PiaVpn", "VpnServiceContainer", "Pod")))
    assert explained == written_reasons()


PARTS = ("the node agent", "a gateway", "the operator", "every part")


def test_every_metric_is_described_and_no_other() -> None:
    described = {
        name
        for kind in PARTS
        for row in rows(f"metric of {kind}")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert described == set(metric_names.served())
    assert "piavpn_dropped_packets_total" in described


def test_every_leak_test_is_listed_and_there() -> None:
    listed = rows("tried | by")
    files = re.findall(r"\*\*`(test_\w+\.py)`\*\*", " ".join(row[0] for row in listed))
    modules = (ast.parse((crd_schema.ROOT / "kind-tests" / name).read_text()) for name in files)
    there = [
        item.name
        for module in modules
        for item in module.body
        if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")
    ]
    assert [row[1].strip("`") for row in listed] == there
    assert set(files) == {
        path.name
        for path in (crd_schema.ROOT / "kind-tests").glob("test_*.py")
        if "leaks.nothing_leaves" in path.read_text()
    }
