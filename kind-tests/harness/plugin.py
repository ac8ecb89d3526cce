"""`kubectl piavpn`, as a user has it: kubectl finds the plugin in PATH."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

_SOURCES = pathlib.Path(__file__).parents[2] / "operator"
_SCRIPT = "#!{python}\nimport sys\nfrom piavpn.cli.main import main\nsys.exit(main())\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it said as `-o json`."""
        assert self.out, self.err
        return json.loads(self.out)


def piavpn(*arguments: str, seconds: float = 180.0) -> Said:
    """Run `kubectl piavpn` from the sources."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "kubectl-piavpn")
        script.write_text(_SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
        return run_from(folder, *arguments, seconds=seconds, PYTHONPATH=str(_SOURCES))


def run_from(
    folder: str | pathlib.Path, *arguments: str, seconds: float = 180.0, **environment: str
) -> Said:
    """Run `kubectl piavpn` with the plugin that is in this folder."""
    done = subprocess.run(
        ("kubectl", "piavpn", *arguments),
        env={**os.environ, **environment, "PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
