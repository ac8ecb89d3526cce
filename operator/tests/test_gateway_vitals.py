"""When a tunnel counts as dead."""

from __future__ import annotations

from piavpn.gateway.vitals import Vitals


def after_misses(vitals: Vitals, *received: int | None) -> Vitals:
    for counter in received:
        vitals = vitals.after(answered=False, received=counter)
    return vitals


def test_five_misses_in_a_row_with_nothing_received_mean_death() -> None:
    assert not after_misses(Vitals(100), 100, 100, 100, 100).dead
    assert after_misses(Vitals(100), 100, 100, 100, 100, 100).dead


def test_bytes_that_arrive_are_a_sign_of_life_though_pings_are_lost() -> None:
    assert after_misses(Vitals(100), 100, 100, 100, 100, 164) == Vitals(164, misses=0)


def test_an_answer_clears_earlier_misses() -> None:
    assert after_misses(Vitals(100), 100, 100).after(answered=True, received=228) == Vitals(228)


def test_a_link_that_tells_nothing_counts_as_silent() -> None:
    assert after_misses(Vitals(100), None, None, None, None, None).dead


def test_a_counter_that_starts_anew_is_a_sign_of_life() -> None:
    assert after_misses(Vitals(100), 100, 0) == Vitals(0)
