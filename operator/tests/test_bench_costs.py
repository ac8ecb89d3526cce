"""What `kind-tests/bench/run apps`, `gateways`, `idle` and `churn` make of what they read."""

from __future__ import annotations

import dataclasses

from bench.costs import Churn, Idle, Reading, Step, churn_table, flatness, idle_table, table
from bench.results import Bar, Measurement, Statistic

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


def cells(table: str) -> list[list[str]]:
    """Return a Markdown table's cells, without the line below the headings."""
    heading, _, *lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (heading, *lines)]


def test_what_was_used_is_the_difference_but_memory_is_what_it_is() -> None:
    assert LATER.since(FIRST) == USED


def test_pods_of_a_part_are_summed_up_and_the_largest_counts() -> None:
    both = FIRST + LATER
    assert (both.cpu_seconds, both.requests, both.attaches) == (22.0, 460.0, 6.0)
    assert (both.time, both.resident_mib) == (100.0, 90.0)


PARTS = dict.fromkeys(("operator", "node-agent", "gateway"), USED)
STEP = Step(
    apps=10,
    new_apps=4,
    gateways=1,
    seconds=12.34,
    made=PARTS,
    idle=PARTS,
    resync=USED,
    rules=7,
    elements=30,
)


def test_a_step_is_a_column_with_what_each_app_cost_that_was_new_in_it() -> None:
    rows = cells(table([STEP, dataclasses.replace(STEP, apps=50, new_apps=40)]))
    assert [row[1] for row in rows] == [
        "10 behind 1",
        "12.3 s (4)",
        "0.50 s",
        "5.0",
        "15.0",
        "0.50 s",
        "15.0",
        "0.50 s",
        "6, 200 ms",
        "200 / 200 / 200 mCPU",
        "90 / 90 / 90 MiB",
        "7, 30",
    ]
    assert [row[2] for row in rows][:4] == ["50 behind 1", "12.3 s (40)", "0.50 s", "0.5"]


def test_an_app_among_many_is_compared_with_one_among_few_behind_one_gateway() -> None:
    first = dataclasses.replace(STEP, apps=1, new_apps=1)
    slower = dataclasses.replace(USED, attach_seconds=3.0)
    many = dataclasses.replace(
        STEP, apps=100, new_apps=50, made={"operator": USED, "node-agent": slower}
    )
    gateways = dataclasses.replace(STEP, apps=500, gateways=10)
    bar = Bar(1.25, Statistic.MEDIAN)

    assert flatness([first, STEP, many, gateways]) == [
        Measurement("attach time at 100 apps, of that at 10", "", (1.5,), bar, rounds=50),
        Measurement(
            "operator's requests for an app at 100 apps, of that at 10", "", (0.08,), bar, rounds=50
        ),
        Measurement(
            "operator's writes for an app at 100 apps, of that at 10", "", (0.08,), bar, rounds=50
        ),
        Measurement(
            "agent's requests for an app at 100 apps, of that at 10", "", (0.08,), bar, rounds=50
        ),
    ]


def test_one_step_is_compared_with_nothing() -> None:
    assert flatness([dataclasses.replace(STEP, new_apps=1), STEP]) == []


def test_an_idle_hour_is_told_of_one_pod() -> None:
    hour = dataclasses.replace(USED, time=360.0, cpu_seconds=3.6)
    *_, row = cells(idle_table(Idle({"node-agent": hour}, {"node-agent": 2})))
    assert row == ["node-agent", "300", "100", "0.7", "5 mCPU"]


def test_coming_and_going_is_told_by_start_and_by_second() -> None:
    *_, row = cells(churn_table(Churn(4, {"operator": FIRST}, {"operator": USED})))
    assert row == ["operator", "15.0", "200 mCPU", "80 MiB", "90 MiB"]
