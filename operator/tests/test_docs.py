"""What README.md and docs/ point at is there: tests, files and headings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import crd_schema
import pytest
import test_readme

import piavpn
from piavpn.api import conditions
from piavpn.node import outbox

ROOT = crd_schema.ROOT
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = ("http://", "https://")


def named_tests(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"`([\w/-]+\.py)::(test_\w+)`", text))


def has_test(file: str, test: str) -> bool:
    if not (ROOT / file).exists():
        return False
    functions = ast.parse((ROOT / file).read_text()).body
    return any(isinstance(item, ast.FunctionDef) and item.name == test for item in functions)


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [target for target in targets if not target.startswith(ELSEWHERE)]


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    file = (page.parent / name) if name else page
    return file.exists() and (not anchor or anchor in headings(file))


def test_each_claim_of_the_security_model_names_tests_that_there_are() -> None:
    text = (ROOT / "docs/security.md").read_text()
    tables = [
        part.partition("\n\n")[0] for part in text.split("\n| claim | held by |\n|---|---|\n")[1:]
    ]
    claims = [line for table in tables for line in table.strip().splitlines()]
    assert len(claims) > 20
    assert [line for line in claims if not named_tests(line)] == []
    assert [f"{file}::{test}" for file, test in named_tests(text) if not has_test(file, test)] == []


def test_the_check_sees_a_test_that_is_not_there() -> None:
    assert not has_test("operator/tests/test_docs.py", "test_of_nothing")
    assert not has_test("operator/tests/test_nothing.py", "test_of_nothing")
    assert has_test("operator/tests/test_docs.py", "test_the_check_sees_a_test_that_is_not_there")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not leads_somewhere(page, target)] == []


def test_the_check_sees_a_link_that_leads_nowhere() -> None:
    page = ROOT / "README.md"
    assert leads_somewhere(page, "#numbers")
    assert not leads_somewhere(page, "#nothing")
    assert not leads_somewhere(page, "docs/nothing.md")


OTHERS_WORDS = {"PiaVpn", "StatefulSet", "PodSecurity", "ImagePullBackOff"}


def test_troubleshooting_names_conditions_and_reasons_that_there_are() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    named = set(re.findall(r"\b[A-Z][a-z]\w*[A-Z]\w+\b", text)) - OTHERS_WORDS
    kinds = (conditions.PiaVpnCondition, conditions.ServiceCondition)
    types = {str(condition) for kind in kinds for condition in kind}
    assert "CredentialsNotFound" in named
    assert named - types - test_readme.written_reasons() == set()


def told_events() -> set[str]:
    """Return the reasons of Events that are no condition's, as the sources have them."""
    found = {outbox.REPAIRED}
    for module in Path(str(piavpn.__file__)).parent.glob("*/*.py"):
        for item in ast.walk(ast.parse(module.read_text())):
            match item:
                case ast.Call(
                    func=ast.Name(id="Event") | ast.Attribute(attr="Notice"),
                    args=[
                        ast.Constant(value="Normal" | "Warning"),
                        ast.Constant(value=str(reason)),
                        *_,
                    ],
                ):
                    found.add(reason)
    return found


def test_every_event_is_described_and_no_other() -> None:
    _, _, table = (ROOT / "docs/events.md").read_text().partition("|---|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} == told_events()
    assert "TunnelUp" in told_events()
