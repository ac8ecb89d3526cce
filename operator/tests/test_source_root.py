"""`operator/` is a source root: as a package it would shadow the standard library's `operator`."""

from __future__ import annotations

import operator
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_source_root_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "operator" / "tests" / "__init__.py").exists()


def test_operator_is_the_standard_library_s_in_the_tests() -> None:
    assert operator.__file__ is not None
    assert Path(operator.__file__).parent == Path(sysconfig.get_path("stdlib"))
    assert operator.add(1, 2) == 3


def test_operator_is_the_standard_library_s_for_a_program_started_in_the_repository() -> None:
    program = "import operator, collections; print(operator.add(1, 2))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "3\n", "")
