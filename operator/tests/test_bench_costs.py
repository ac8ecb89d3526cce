"""What `kind-tests/bench/run apps`, `gateways` and `idle` make of what they read."""

from __future__ import annotations

import dataclasses

from bench.costs import Reading, Step, idle_table, table

FIRST = Reading(
    time=100.0,
    cpu_seconds=10.0,
    resident_mib=80.0,
    switches=1000.0,
    requests=200.0,
    writes=40.0,
    passes=10.0,
    pass_seconds=1.0,
    attaches=1.0,
    attach_seconds=0.5,
)
LATER = Reading(
    time=110.0,
    cpu_seconds=12.0,
    resident_mib=90.0,
    switches=1500.0,
    requests=260.0,
    writes=60.0,
    passes=20.0,
    pass_seconds=3.0,
    attaches=5.0,
    attach_seconds=2.5,
)
USED = Reading(
    time=10.0,
    cpu_seconds=2.0,
    resident_mib=90.0,
    switches=500.0,
    requests=60.0,
    writes=20.0,
    passes=10.0,
    pass_seconds=2.0,
    attaches=4.0,
    attach_seconds=2.0,
)


def test_what_was_used_is_the_difference_but_memory_is_what_it_is() -> None:
    assert LATER.since(FIRST) == USED


def test_pods_of_a_part_are_summed_up_and_the_largest_counts() -> None:
    both = FIRST + LATER
    assert (both.cpu_seconds, both.requests, both.attaches) == (22.0, 460.0, 6.0)
    assert (both.time, both.resident_mib) == (100.0, 90.0)


def test_a_step_is_told_per_app_that_was_new_in_it() -> None:
    parts = dict.fromkeys(("operator", "node-agent", "gateway"), USED)
    step = Step(
        apps=10,
        new_apps=4,
        gateways=1,
        seconds=12.34,
        made=parts,
        idle=parts,
        resync=USED,
        rules=7,
        elements=30,
    )
    *_, row = table([step]).splitlines()
    assert row == (
        "| 10 | 1 | 12.3 s | 0.50 s | 15.0, 5.0 | 0.50 s | 15.0 | 0.50 s | 6 | 200 ms"
        " | 200 mCPU | 200 mCPU | 200 mCPU | 90 MiB | 90 MiB | 90 MiB | 7 | 30 |"
    )


def test_an_idle_hour_is_told_of_one_pod() -> None:
    hour = dataclasses.replace(USED, time=360.0, cpu_seconds=3.6)
    *_, row = idle_table({"node-agent": hour}, {"node-agent": 2}).splitlines()
    assert row == "| node-agent | 300 | 100 | 0.7 | 5 mCPU |"
