"""What commands say: tables or JSON on standard output, progress on the terminal alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

_ABSENT = "-"
_GAP = "   "
_CLEAR_LINE = "\r\x1b[K"
_CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"


class Output:
    """Where a command writes to. Results go to `out`; progress, errors and hints to `err`."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.as_json = as_json
        self.now = clock
        """Returns the time by which ages are told."""
        self._out = out
        self._err = err
        self._in_progress = False

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches standard output."""
        return self._out.isatty()

    def json(self, value: Any) -> None:  # noqa: ANN401 - what JSON can say
        """Write the result for programs."""
        self.line(json.dumps(value, indent=2))

    def json_line(self, value: Any) -> None:  # noqa: ANN401 - as json
        """Write one of many results for programs: one a line."""
        self.line(json.dumps(value))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write the result for people, one line a row; None and empty texts show as `-`."""
        for line in table(headings, rows):
            self.line(line)

    def line(self, text: str = "") -> None:
        """Write a line of the result."""
        self._end_progress()
        self._out.write(f"{text}\n")
        self._out.flush()

    def clear(self) -> None:
        """Begin the screen anew, where there is one."""
        if self.is_terminal:
            self._out.write(_CLEAR_SCREEN)

    def progress(self, text: str) -> None:
        """Tell what is waited for, in the place of what was waited for before."""
        if self._err.isatty():
            self._err.write(f"{_CLEAR_LINE}{text} ...")
            self._err.flush()
            self._in_progress = True

    def note(self, text: str) -> None:
        """Write a line that is no part of the result."""
        self._end_progress()
        self._err.write(f"{text}\n")
        self._err.flush()

    def _end_progress(self) -> None:
        if self._in_progress:
            self._err.write(_CLEAR_LINE)
            self._err.flush()
            self._in_progress = False


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table's lines, as wide as their cells."""
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(value: object) -> str:
    return _ABSENT if value is None else str(value) or _ABSENT
