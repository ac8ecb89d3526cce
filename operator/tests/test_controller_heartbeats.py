"""When a node's agent counts as silent: by what was seen, not by anybody's clock alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from controller_samples import NOW

from piavpn.controller import heartbeats
from piavpn.controller.heartbeats import Heartbeat


def lease(renewed: datetime, node: str = "n1") -> dict[str, Any]:
    return {
        "metadata": {"name": f"piavpn-node-agent-{node}"},
        "spec": {"leaseDurationSeconds": 40, "renewTime": renewed.isoformat()},
    }


def looks(
    *seen: list[dict[str, Any]], expected: set[str] | None = None, step: float = 5.0
) -> list[set[str]]:
    """Return the silent nodes after each look."""
    known: dict[str, Heartbeat] = {}
    silent = []
    for number, leases in enumerate(seen):
        now = NOW + timedelta(seconds=number * step)
        known = heartbeats.heard(known, leases, expected or set(), step if number else 0.0, now)
        silent.append({node for node, heartbeat in known.items() if heartbeat.silent})
    return silent


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(minutes=-1), timedelta(hours=5)])
def test_an_agent_is_silent_once_its_lease_was_not_renewed_for_as_long_as_it_lasts(
    skew: timedelta,
) -> None:
    seen = looks(*[[lease(NOW + skew)]] * 10)
    assert seen == [set()] * 9 + [{"n1"}]


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=-5), timedelta(hours=5)])
def test_an_agent_that_renews_is_heard_of_whatever_its_clock_says(skew: timedelta) -> None:
    renewals = [[lease(NOW + skew + timedelta(seconds=10 * (n // 2)))] for n in range(2, 42)]
    assert looks(*renewals)[2:] == [set()] * 38


def test_a_lease_that_is_long_over_when_first_seen_is_a_silent_agent_s() -> None:
    assert looks([lease(NOW - timedelta(minutes=2))]) == [{"n1"}]


def test_a_silent_agent_that_renews_is_heard_of_at_once() -> None:
    old, new = [lease(NOW - timedelta(minutes=9))], [lease(NOW)]
    assert looks(old, old, new, new) == [{"n1"}, {"n1"}, set(), set()]


def test_a_node_with_pods_and_without_a_lease_is_silent_after_a_while() -> None:
    assert looks(*[[]] * 10, expected={"n1"}) == [set()] * 9 + [{"n1"}]


def test_a_node_without_pods_of_ours_needs_no_agent() -> None:
    assert looks(*[[]] * 10) == [set()] * 10


def test_an_agent_whose_lease_was_removed_has_its_time_to_make_another() -> None:
    there, gone = [lease(NOW)], list[dict[str, Any]]()
    assert looks(there, *[gone] * 9, expected={"n1"}) == [set()] * 10
    assert looks(there, *[gone] * 10, expected={"n1"})[-1] == {"n1"}


def test_each_node_is_judged_by_its_own_lease() -> None:
    renewed = [[lease(NOW), lease(NOW + timedelta(seconds=n), "n2")] for n in range(10)]
    assert looks(*renewed)[-1] == {"n1"}


def test_a_lease_without_a_time_is_as_good_as_none() -> None:
    empty = [{"metadata": {"name": "piavpn-node-agent-n1"}}]
    assert looks(*[empty] * 10, expected={"n1"})[-1] == {"n1"}
