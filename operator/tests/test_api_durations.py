"""Durations as users write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from piavpn.api import durations


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("720h", timedelta(days=30)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("0s", timedelta()),
        ("1h0m5s", timedelta(hours=1, seconds=5)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert durations.parse(text) == duration


@pytest.mark.parametrize("text", ["", "30", "1d", "-1h", "1.5h", "1m1h", "1h ", "h"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration, such as 720h"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["720h", "1h30m", "1m30s", "0s", "1h5s"])
def test_what_was_read_is_written_as_it_was(text: str) -> None:
    assert durations.format_(durations.parse(text)) == text
