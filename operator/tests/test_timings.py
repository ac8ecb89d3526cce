"""Durations, counted by what came of them."""

from __future__ import annotations

import pytest

from piavpn import metrics
from piavpn.timings import Timing, Timings


def test_a_duration_counts_where_it_is_no_longer_than_the_bound() -> None:
    timings = Timings((0.1, 1.0))
    for seconds in (0.1, 0.5, 1.0, 7.0):
        timings.add(seconds, "login", "success")
    assert timings.read() == {("login", "success"): Timing((1, 2, 1), 8.6)}
    assert timings.read()["login", "success"].count == 4


def test_a_block_that_ends_counts_as_success_and_one_that_fails_as_what_its_error_means() -> None:
    timings = Timings((60.0,))
    with timings.timed("login", failure=str):
        pass
    with pytest.raises(ValueError, match="Refused"), timings.timed("login", failure=str):
        raise ValueError("Refused")
    counts = {labels: timing.count for labels, timing in timings.read().items()}
    assert counts == {("login", "success"): 1, ("login", "Refused"): 1}


def test_prometheus_is_told_how_many_took_no_longer_than_each_bound() -> None:
    timings = Timings((0.1, 1.0))
    for seconds in (0.1, 0.5, 7.5):
        timings.add(seconds, "login")
    family = metrics.histogram("duration_seconds", "Durations.", ["call"], timings)
    assert [
        (s.name.removeprefix("piavpn_duration_seconds"), s.labels, s.value) for s in family.samples
    ] == [
        ("_bucket", {"call": "login", "le": "0.1"}, 1),
        ("_bucket", {"call": "login", "le": "1.0"}, 2),
        ("_bucket", {"call": "login", "le": "+Inf"}, 3),
        ("_count", {"call": "login"}, 3),
        ("_sum", {"call": "login"}, 8.1),
    ]
