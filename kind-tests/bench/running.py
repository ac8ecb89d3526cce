"""A run of several parts, of which one may fail, and the run may end at any time.

What was measured is written after each part.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence

from bench import report, results


class Run:
    """Runs the parts that are wanted, and keeps what comes of them."""

    def __init__(
        self,
        parts: Sequence[report.Part],
        stem: pathlib.Path,
        where: report.Where,
        leaked: Callable[[], int | None],
    ) -> None:
        """Take what is to be measured.

        Args:
            parts: those that are wanted.
            stem: of the files, which get `.json` and `.md`.
            where: it is measured.
            leaked: tells how many packets leaked since the run began; None: it cannot tell.
        """
        self._parts = {part.name: part for part in parts}
        self._stem = stem
        self._where = where
        self._leaked = leaked

    def measurements(self, name: str, measure: Callable[[], list[results.Measurement]]) -> None:
        """Measure a part, if it is wanted."""
        self.part(name, lambda part: part.measurements.extend(measure()))

    def part(self, name: str, measure: Callable[[report.Part], None]) -> None:
        """Have a part measured, if it is wanted; what fails is told, and the run goes on."""
        part = self._parts.get(name)
        if part is None:
            return
        _say(f"{name}: begins")
        since = time.monotonic()
        try:
            measure(part)
            part.done = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are wanted
            _fail(part, error)
        finally:
            part.seconds = time.monotonic() - since
            self.write()
        _say(f"{name}: {part.seconds:.0f} s")

    @contextlib.contextmanager
    def shared(self, names: Collection[str]) -> Iterator[bool]:
        """Have what several parts share for the time of a block; yield whether any is wanted.

        What goes wrong with it is a failure of those of them that are not measured then, or of all.
        """
        mine = [part for name, part in self._parts.items() if name in names]
        try:
            yield bool(mine)
        except Exception as error:  # noqa: BLE001 - as above
            for part in [one for one in mine if not one.done] or mine:
                _fail(part, error)
            self.write()

    def write(self) -> report.Report:
        """Write what there is so far, and return it."""
        made = report.Report(self._where, tuple(self._parts.values()), self._leaked())
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        document = json.dumps(report.document(made), indent=2, ensure_ascii=False)
        self._stem.with_suffix(".json").write_text(document + "\n")
        self._stem.with_suffix(".md").write_text(report.markdown(made))
        return made


def _fail(part: report.Part, error: Exception) -> None:
    traceback.print_exception(error)
    part.done = False
    part.error = part.error or f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
