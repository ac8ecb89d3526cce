"""Which VPN is due when, told with a clock that only the test moves."""

from __future__ import annotations

import threading

import pytest

from piavpn.controller import queue


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def due(clock: Clock) -> queue.DueQueue:
    return queue.DueQueue(clock)


def test_nothing_is_due_at_first(due: queue.DueQueue) -> None:
    assert due.take(timeout=0) is None


def test_a_name_is_due_once_however_often_it_was_added(due: queue.DueQueue) -> None:
    due.add("home")
    due.add("home")
    assert due.take(timeout=0) == "home"
    assert due.take(timeout=0) is None


def test_a_delayed_name_is_due_when_its_time_has_come(due: queue.DueQueue, clock: Clock) -> None:
    due.add("home", 5)
    clock.now += 4.9
    assert due.take(timeout=0) is None
    clock.now += 0.1
    assert due.take(timeout=0) == "home"


def test_an_earlier_reason_wins_over_a_later_one(due: queue.DueQueue, clock: Clock) -> None:
    due.add("home", 300)
    due.add("home", 1)
    due.add("home", 300)
    clock.now += 1
    assert due.take(timeout=0) == "home"


def test_the_one_that_is_longest_overdue_comes_first(due: queue.DueQueue, clock: Clock) -> None:
    due.add("second", 2)
    due.add("first", 1)
    clock.now += 3
    assert [due.take(timeout=0), due.take(timeout=0)] == ["first", "second"]


def test_a_name_that_is_added_while_its_pass_runs_is_due_once_more(due: queue.DueQueue) -> None:
    due.add("home")
    assert due.take(timeout=0) == "home"
    due.add("home")
    assert due.take(timeout=0) == "home"


def test_a_waiting_take_hears_of_a_new_name_at_once() -> None:
    due, taken = queue.DueQueue(), []
    taker = threading.Thread(target=lambda: taken.append(due.take(timeout=30)))
    taker.start()
    due.add("home")
    taker.join(timeout=10)
    assert taken == ["home"]


def test_a_closed_queue_lets_every_waiting_take_go() -> None:
    due, taken = queue.DueQueue(), []
    takers = [threading.Thread(target=lambda: taken.append(due.take(30))) for _ in range(2)]
    for taker in takers:
        taker.start()
    due.close()
    for taker in takers:
        taker.join(timeout=10)
    assert taken == [None, None]


def test_what_is_overdue_is_due_and_was_not_taken(due: queue.DueQueue, clock: Clock) -> None:
    due.add("home")
    due.add("away", 10)
    assert due.overdue() == 1
    clock.now += 10
    assert due.overdue() == 2
    due.take(timeout=0)
    assert due.overdue() == 1
