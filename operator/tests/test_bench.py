"""What `make bench` makes of its samples."""

from __future__ import annotations

import pytest

from bench.answers import Answer, Asking, longest_silence, until_the_end_of_silence
from bench.comparison import Quantity, difference, quantity
from bench.loads import Flow, Transfer
from bench.results import (
    Bar,
    Measurement,
    Statistic,
    bars,
    document,
    numbers,
    side_by_side,
    table,
)

TWENTY = tuple(float(number) for number in range(1, 21))


def test_p95_is_the_sample_that_95_of_100_are_as_good_as() -> None:
    assert Measurement("start", "s", TWENTY).p95 == 19.0
    assert Measurement("ratio", "", TWENTY, more_is_better=True).p95 == 2.0


def test_p95_of_few_samples_is_the_worst() -> None:
    assert Measurement("start", "s", (2.0, 3.0, 1.0)).p95 == 3.0
    assert Measurement("ratio", "", (0.9, 0.8, 1.0), more_is_better=True).p95 == 0.8


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (None, None),
        (Bar(3), True),
        (Bar(2.9), False),
        (Bar(2, Statistic.MEDIAN), True),
        (Bar(1.9, Statistic.MEDIAN), False),
    ],
)
def test_a_bar_is_the_most_that_median_or_p95_may_be(
    bar: Bar | None,
    met: bool | None,  # noqa: FBT001
) -> None:
    assert Measurement("start", "s", (2.0, 3.0, 1.0), bar).met is met


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar(1), True),
        (Bar(1.1), False),
        (Bar(2, Statistic.MEDIAN), True),
        (Bar(2.1, Statistic.MEDIAN), False),
    ],
)
def test_a_bar_is_the_least_where_more_is_better(bar: Bar, met: bool) -> None:  # noqa: FBT001
    assert Measurement("ratio", "", (2.0, 3.0, 1.0), bar, more_is_better=True).met is met


def test_the_table_is_markdown_with_aligned_columns() -> None:
    median = Statistic.MEDIAN
    assert table(
        [
            Measurement("server dead", "s", (7.014, 6.0), Bar(15)),
            Measurement("logins", "logins", (1.0,), Bar(1), rounds=50),
            Measurement("ratio", "", (0.9, 0.91, 0.99), Bar(0.95, median), more_is_better=True),
            Measurement("difference", "s", (0.1,), Bar(0.2, median), rounds=8),
            Measurement("upload", "Mbit/s", (801.6, 799.0), more_is_better=True),
        ]
    ) == (
        "| measured    | rounds | median     | p95        | bar            | met |\n"
        "|-------------|--------|------------|------------|----------------|-----|\n"
        "| server dead | 2      | 6.51 s     | 7.01 s     | p95 ≤ 15 s     | yes |\n"
        "| logins      | 50     | 1 logins   |            | p95 ≤ 1 logins | yes |\n"
        "| ratio       | 3      | 0.91       | 0.90       | median ≥ 0.95  | no  |\n"
        "| difference  | 8      | 0.10 s     |            | median ≤ 0.2 s | yes |\n"
        "| upload      | 2      | 800 Mbit/s | 799 Mbit/s |                |     |\n"
    )


PATHS = [
    Measurement("upload", "Mbit/s", (800.0, 802.0, 900.0), more_is_better=True, path="app"),
    Measurement("upload", "Mbit/s", (810.0,), more_is_better=True, path="sidecar"),
    Measurement("UDP lost", "%", (0.25,), path="app"),
]


def test_paths_stand_side_by_side() -> None:
    assert side_by_side([Measurement("start", "s", (1.0,)), *PATHS]) == (
        "| median   | app        | sidecar    |\n"
        "|----------|------------|------------|\n"
        "| upload   | 802 Mbit/s | 810 Mbit/s |\n"
        "| UDP lost | 0.25 %     |            |\n"
    )


def test_p95s_stand_side_by_side_where_there_are_several_samples() -> None:
    assert side_by_side(PATHS, Statistic.P95) == (
        "| p95      | app        | sidecar |\n"
        "|----------|------------|---------|\n"
        "| upload   | 800 Mbit/s |         |\n"
        "| UDP lost |            |         |\n"
    )


def test_paths_stand_side_by_side_with_several_quantities_in_a_row() -> None:
    up = {"row": "upload by 1 / 8 streams", "path": "app"}
    assert side_by_side(
        [
            Measurement("upload, 1 TCP stream", "Mbit/s", (801.6,), **up),
            Measurement("upload, 8 TCP streams", "Mbit/s", (900.2,), **up),
        ]
    ) == (
        "| median                  | app              |\n"
        "|-------------------------|------------------|\n"
        "| upload by 1 / 8 streams | 802 / 900 Mbit/s |\n"
    )


def test_the_readmes_table_has_a_row_for_all_that_is_called_alike() -> None:
    start = "start of an app: confined / plain"
    assert numbers(
        [
            Measurement("start, confined", "s", (1.25, 1.75, 1.5), row=start),
            Measurement("start, over plain", "s", (0.5,)),
            Measurement("start, plain", "s", (0.25, 0.75, 0.5), row=start),
            Measurement("logins", "logins", (1.0,), rounds=50, row="logins of 5 gateways"),
            Measurement("upload", "Mbit/s", (1.0,), row="upload", path="app"),
        ]
    ) == (
        "| what                              | median        | p95           | rounds |\n"
        "|-----------------------------------|---------------|---------------|--------|\n"
        "| start of an app: confined / plain | 1.50 / 0.50 s | 1.75 / 0.75 s | 3      |\n"
        "| logins of 5 gateways              | 1 logins      |               | 50     |\n"
    )


def test_the_bars_that_are_missed_are_named() -> None:
    median = Statistic.MEDIAN
    assert bars(
        [
            Measurement("server dead", "s", (7.0, 16.0), Bar(15)),
            Measurement("ratio", "", (0.9, 0.94), Bar(0.95, median), more_is_better=True),
            Measurement("kill", "s", (1.0,), Bar(10)),
            Measurement("wireguard-go", "MiB", (23.0,)),
        ]
    ) == (
        "1 of 3 bars are met.\n"
        "- missed: server dead: 16.00 s, p95 ≤ 15 s\n"
        "- missed: ratio: 0.92, median ≥ 0.95\n"
    )


def test_without_bars_none_is_met_or_missed() -> None:
    assert bars([Measurement("wireguard-go", "MiB", (23.0,))]) == ""


def test_what_stands_side_by_side_is_not_in_the_table() -> None:
    start = Measurement("start", "s", (1.0,))
    assert table([*PATHS, start]) == table([start])


def test_a_path_is_compared_round_by_round() -> None:
    rates = Quantity(
        "upload", "Mbit/s", {"app": [400.0, 90.0], "gateway": [500.0, 100.0]}, more_is_better=True
    )
    bar = Bar(0.95, Statistic.MEDIAN)

    assert rates.ratio("gateway", 0.95) == Measurement(
        "upload, app / gateway", "", (0.8, 0.9), bar, more_is_better=True
    )


def test_any_path_may_be_compared_with_another() -> None:
    rates = Quantity(
        "upload", "Mbit/s", {"app": [400.0], "elsewhere": [300.0]}, more_is_better=True
    )

    assert rates.ratio("app", of="elsewhere") == Measurement(
        "upload, elsewhere / app", "", (0.75,), more_is_better=True
    )


def test_a_cost_must_not_exceed_the_other_paths() -> None:
    costs = Quantity("upload: CPU", "s/Gbit", {"app": [1.0], "vxlan": [2.0]})

    assert costs.ratio("vxlan", 1.0).met is True


def test_a_quantity_has_a_measurement_for_each_path() -> None:
    flows = {"app": [Flow(sent=100, arrived=75.0)], "vxlan": [Flow(sent=100, arrived=100.5)]}

    assert quantity("lost", "%", flows, lambda one: one.lost_percent).measurements() == [
        Measurement("lost", "%", (25.0,), path="app"),
        Measurement("lost", "%", (0.0,), path="vxlan"),
    ]


def test_a_difference_is_that_of_the_medians() -> None:
    assert difference("start", (1.0, 1.5, 9.0), (1.0, 1.0, 1.0), 0.2) == Measurement(
        "start", "s", (0.5,), Bar(0.2, Statistic.MEDIAN), rounds=3
    )


def test_a_transfer_costs_processor_seconds_for_a_gigabit() -> None:
    moved = Transfer(gigabits=0.5, seconds=1.0, machine_seconds=2.0, wireguard_seconds=0.75)

    assert (moved.megabits_per_second, moved.machine_cost, moved.wireguard_cost) == (500, 4.0, 1.5)


def test_the_document_has_every_sample() -> None:
    assert document([Measurement("server dead", "s", (7.0, 6.0), Bar(15))]) == [
        {
            "what": "server dead",
            "unit": "s",
            "samples": (7.0, 6.0),
            "bar": {"limit": 15, "statistic": "p95"},
            "more_is_better": False,
            "rounds": 2,
            "path": "",
            "row": "",
            "median": 6.5,
            "p95": 7.0,
            "met": True,
        }
    ]


def test_an_outage_lasts_until_the_end_of_the_longest_silence() -> None:
    answers = [Answer(time, "198.18.11.1") for time in (100.1, 100.2, 106.5, 106.6, 106.8)]

    assert until_the_end_of_silence(100.0, answers) == pytest.approx(6.5)


def test_an_outage_that_begins_at_once_lasts_until_the_first_answer() -> None:
    answers = [Answer(time, "198.18.11.2") for time in (104.0, 104.1)]

    assert until_the_end_of_silence(100.0, answers) == pytest.approx(4.0)


def test_a_fault_that_is_not_felt_has_the_silence_between_two_answers() -> None:
    answers = [Answer(time, "198.18.11.1") for time in (100.0, 100.125, 100.25, 100.5)]

    assert longest_silence(99.9375, answers) == 0.25


def test_what_an_asking_pod_prints_is_read() -> None:
    asking = Asking()
    for line in ("answered 198.18.11.1 99.5", "failed timed out", "answered 198.18.11.2 103.25"):
        asking.note(line)

    assert asking.after(100.0) == [Answer(103.25, "198.18.11.2")]
    assert asking.failure == "failed timed out"
