"""A run of `make bench`: what it writes, whatever fails of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.report import Part, Where
from bench.results import Bar, Measurement
from bench.running import Run

WHERE = Where("2 CPUs (a processor), 24 GiB", "piavpn:1")


def run_of(folder: Path, *names: str) -> Run:
    return Run([Part(name) for name in names], folder / "results", WHERE, lambda: 0)


def ready() -> list[Measurement]:
    return [Measurement("applied → Ready", "s", (2.0,), Bar(15), row="applied → both Ready")]


def fail() -> list[Measurement]:
    raise AssertionError("no answer")


def interrupt() -> list[Measurement]:
    raise KeyboardInterrupt


def written(folder: Path) -> str:
    return (folder / "results.md").read_text()


def test_tables_of_all_parts_are_one_page(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ready")
    run.measurements("ready", ready)
    assert run.write().complete
    assert written(tmp_path) == (
        "Measured on 2 CPUs (a processor), 24 GiB.\n"
        "\n"
        "## Numbers\n"
        "\n"
        "| what                 | median | p95 | rounds |\n"
        "|----------------------|--------|-----|--------|\n"
        "| applied → both Ready | 2.00 s |     | 1      |\n"
        "\n"
        "## Control path\n"
        "\n"
        "| measured        | rounds | median | p95 | bar        | met |\n"
        "|-----------------|--------|--------|-----|------------|-----|\n"
        "| applied → Ready | 1      | 2.00 s |     | p95 ≤ 15 s | yes |\n"
        "\n"
        "## Bars\n"
        "\n"
        "1 of 1 bars are met.\n"
        "- packets leaked meanwhile: 0, bar 0\n"
    )


def test_a_part_that_fails_loses_no_other_and_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, "logins", "ready")
    run.measurements("logins", fail)
    run.measurements("ready", ready)
    assert not run.write().complete
    assert "| applied → both Ready | 2.00 s |" in written(tmp_path)
    assert "## Not measured\n\n- logins: AssertionError: no answer\n" in written(tmp_path)
    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert [(part["name"], part["done"]) for part in parts] == [("logins", False), ("ready", True)]


def test_what_was_measured_before_the_run_was_interrupted_is_written(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ready", "logins", "port")
    run.measurements("ready", ready)
    with pytest.raises(KeyboardInterrupt):
        run.measurements("logins", interrupt)
    assert "| applied → both Ready | 2.00 s |" in written(tmp_path)
    assert "- logins: the run ended before\n- port: the run ended before\n" in written(tmp_path)


def test_what_several_parts_share_fails_for_those_that_are_not_measured_yet(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ready", "port")
    with run.shared(("ready", "port")) as wanted:
        assert wanted
        run.measurements("ready", ready)
        fail()
    assert [(part.done, part.error) for part in run.write().parts] == [
        (True, ""),
        (False, "AssertionError: no answer"),
    ]


def test_what_is_shared_and_cannot_be_removed_is_a_failure_too(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ready")
    with run.shared(("ready",)):
        run.measurements("ready", ready)
        fail()
    assert not run.write().complete
    assert "| applied → both Ready | 2.00 s |" in written(tmp_path)


def test_what_only_parts_share_that_are_not_wanted_is_not_made(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ready")
    with run.shared(("port",)) as wanted:
        assert not wanted
    run.measurements("port", fail)
    assert [part.error for part in run.write().parts] == [""]


@pytest.mark.parametrize(
    ("leaked", "told"),
    [
        (3, "- missed: packets leaked meanwhile: 3, bar 0\n"),
        (None, "- not known: packets leaked meanwhile\n"),
    ],
)
def test_a_run_with_a_leak_or_without_a_detector_is_not_complete(
    tmp_path: Path, leaked: int | None, told: str
) -> None:
    run = Run([Part("ready")], tmp_path / "results", WHERE, lambda: leaked)
    run.measurements("ready", ready)
    assert not run.write().complete
    assert told in written(tmp_path)
