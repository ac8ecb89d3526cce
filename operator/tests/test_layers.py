"""Decisions are pure, and the gate starts fast: held by what each module imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1]
MUST_BE_PURE = (
    "piavpn.api.cidrs",
    "piavpn.api.codec",
    "piavpn.api.conditions",
    "piavpn.api.durations",
    "piavpn.api.gateway_config",
    "piavpn.api.names",
    "piavpn.api.node_keys",
    "piavpn.api.piavpns",
    "piavpn.api.pods",
    "piavpn.api.promise",
    "piavpn.api.protocols",
    "piavpn.api.selectors",
    "piavpn.api.vpnapps",
    "piavpn.controller.accounts",
    "piavpn.controller.assignment",
    "piavpn.controller.authentication",
    "piavpn.controller.build_gateway",
    "piavpn.controller.build_mounts",
    "piavpn.controller.build_pod",
    "piavpn.controller.build_proxy",
    "piavpn.controller.build_service",
    "piavpn.controller.decide",
    "piavpn.controller.model",
    "piavpn.controller.network",
    "piavpn.controller.readiness",
    "piavpn.controller.reasons",
    "piavpn.controller.renewal",
    "piavpn.controller.server_parties",
    "piavpn.controller.server_verdicts",
    "piavpn.controller.servers",
    "piavpn.controller.templates",
    "piavpn.gate.proc",
    "piavpn.gateway.decide",
    "piavpn.gateway.dns",
    "piavpn.gateway.memory",
    "piavpn.gateway.routing",
    "piavpn.gateway.rules",
    "piavpn.gateway.session",
    "piavpn.gateway.setbacks",
    "piavpn.gateway.slots",
    "piavpn.gateway.status",
    "piavpn.gateway.vitals",
    "piavpn.net.routing",
    "piavpn.node.brake",
    "piavpn.node.cutoffs",
    "piavpn.node.decide",
    "piavpn.node.frames",
    "piavpn.node.guard",
    "piavpn.node.hostfilter",
    "piavpn.node.leaktest",
    "piavpn.node.listings",
    "piavpn.node.lock",
    "piavpn.node.mesh",
    "piavpn.node.meshfilter",
    "piavpn.node.model",
    "piavpn.node.mtus",
    "piavpn.node.outlet",
    "piavpn.node.plans",
    "piavpn.node.readers",
    "piavpn.node.verdicts",
    "piavpn.node.reasons",
    "piavpn.pia.errors",
    "piavpn.pia.locations",
)
FRAMEWORKS = {"kopf", "kubernetes", "prometheus_client", "pyroute2", "requests", "urllib3"}
INPUT_AND_OUTPUT = {"http", "socket", "subprocess", "threading", "urllib"}
GATE = "piavpn.gate.main"
EXCEPTIONS = {"piavpn.gate.proc": {"socket"}}
"""For its notation of addresses: `ipaddress` would cost the gate, which starts every app, time."""


def path_of(module: str) -> Path | None:
    base = SOURCES.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def imported(module: str) -> Iterator[str]:
    """Yield the modules that `module` imports itself, wherever in its text."""
    path = path_of(module)
    assert path is not None, f"there is no module {module}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(module: str) -> set[str]:
    """Return all that is imported with `module`, through our own modules."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imported(waiting.pop()):
            if name not in found:
                found.add(name)
                if name.startswith("piavpn") and path_of(name):
                    waiting.append(name)
    return found


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def called_pure() -> Iterator[str]:
    """Yield the modules whose docstring says that they are pure."""
    for file in (SOURCES / "piavpn").rglob("*.py"):
        if "Pure" in (ast.get_docstring(ast.parse(file.read_text())) or ""):
            yield ".".join(file.relative_to(SOURCES).with_suffix("").parts)


PURE = sorted({*MUST_BE_PURE, *called_pure()})


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_no_input_or_output_of_its_own(module: str) -> None:
    found = packages(set(imported(module))) & (FRAMEWORKS | INPUT_AND_OUTPUT)
    assert found == EXCEPTIONS.get(module, set())


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_can_be_used_without_any_framework(module: str) -> None:
    assert packages(reached(module)) & FRAMEWORKS == set()


def test_the_check_sees_an_import_that_is_not_allowed() -> None:
    assert "kopf" in packages(set(imported("piavpn.controller.handlers")))
    assert "kubernetes" in packages(reached("piavpn.controller.reconciler"))


def test_the_gate_needs_nothing_but_the_standard_library() -> None:
    assert packages(reached(GATE)) - sys.stdlib_module_names == {"piavpn"}


def test_the_gate_loads_none_of_the_other_programs() -> None:
    ours = {name for name in reached(GATE) if path_of(name)}
    assert {".".join(name.split(".")[:2]) for name in ours} <= {
        "piavpn",
        "piavpn.api",
        "piavpn.gate",
    }


PROGRAMS = ("cli", "controller", "gate", "gateway", "hook", "node")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_import_nothing_of_each_other(program: str) -> None:
    others = {*PROGRAMS} - {program}
    for file in (SOURCES / "piavpn" / program).glob("*.py"):
        for name in imported(f"piavpn.{program}.{file.stem}".removesuffix(".__init__")):
            parts = name.split(".")
            assert parts[0] != "piavpn" or len(parts) < 2 or parts[1] not in others, (file, name)
