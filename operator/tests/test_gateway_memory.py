"""What the gateway remembers of how its steps went."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from datetime import UTC, datetime

from gateway_objects import CONFIG, FALLBACK_SESSION, NEXT_SESSION, SESSION, A, B, C

from piavpn.gateway import asked, decide, events, setbacks
from piavpn.gateway.decide import Register, Surroundings
from piavpn.gateway.events import Event
from piavpn.gateway.inquiry import OUTSIDE, Inquiry
from piavpn.gateway.kept import Kept
from piavpn.gateway.memory import Failure, Memory, Rejection
from piavpn.gateway.moves import Purpose, Returning
from piavpn.gateway.roles import Candidate, Current, Draining
from piavpn.gateway.setbacks import Setback
from piavpn.gateway.slots import SLOTS
from piavpn.gateway.vitals import Vitals

NOW = 100_000.0
AROUND = Surroundings(
    missing=(),
    config=CONFIG,
    config_problem="",
    token="token",
    time=datetime(2026, 12, 23, 4, 0, tzinfo=UTC),
)
UNREACHABLE = Failure("Unreachable", "zurich402 (198.18.11.2:1337) cannot be reached")
REJECTED = Failure("TokenRejected", "zurich401 (198.18.11.1:1337) rejects the account's token")
SILENT = Failure("ServerSilent", "silent")
RENEWING = Candidate(B, SLOTS[1], Purpose.RENEWAL)
RETURNING = Candidate(A, SLOTS[1], Purpose.RETURN)
SEEN = ipaddress.IPv4Address("198.18.99.1")


def dice() -> random.Random:
    return random.Random(1)


def test_all_servers_are_tried_in_order_before_one_is_tried_again() -> None:
    memory, tried = Memory(), []
    for moment in (0.0, 5.0, 10.0):  # by 5.0 the first one's wait of a second is long over
        step = decide.next_step(AROUND, memory, moment)
        assert isinstance(step, Register)
        server = step.candidate.server
        tried.append(server)
        memory = memory.trying(step.candidate).failed(server, UNREACHABLE, moment, dice())
    assert tried == [A, B, C]


def test_the_wait_after_failures_doubles_up_to_a_minute_with_jitter() -> None:
    thrown = random.Random(7)
    known: setbacks.Setbacks = {}
    for longest in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        known = setbacks.failed(known, A.address, 100.0, thrown)
        assert longest / 2 <= known[A.address].until - 100.0 <= longest


def test_what_failed_a_month_ago_counts_no_more_and_is_not_kept() -> None:
    now = 100 * 86_400.0
    long_ago = {A.address: Setback(6, now - 30 * 86_400 - 1)}
    assert setbacks.choose((A, B), long_ago, now) == A
    assert set(setbacks.failed(long_ago, B.address, now, dice())) == {B.address}
    lately = {A.address: Setback(6, now - 30 * 86_400)}
    assert setbacks.choose((A, B), lately, now) == B
    assert set(setbacks.failed(lately, B.address, now, dice())) == {A.address, B.address}


def test_a_settled_session_clears_its_servers_earlier_failures() -> None:
    earlier = {A.address: Setback(6, 0.0)}
    memory = Memory(current=Current(SESSION, since=0.0), setbacks=earlier)
    assert memory.ended(SILENT, 59.0, dice()).setbacks[A.address].failures == 7
    assert memory.ended(SILENT, 60.0, dice()).setbacks[A.address].failures == 1


def test_after_a_servers_death_another_one_comes_first() -> None:
    memory = Memory(current=Current(SESSION, since=0.0)).ended(SILENT, NOW, dice())
    assert memory.session is None
    step = decide.next_step(AROUND, memory, NOW + 100)
    assert step == Register(Candidate(B, SLOTS[0]), CONFIG, "token")


def test_a_first_session_leaves_no_failure_behind() -> None:
    memory = Memory(
        candidate=Candidate(A, SLOTS[0]),
        failure=REJECTED,
        rejection=Rejection("token", until=NOW),
    )
    assert memory.proven(SESSION, received=92, now=NOW, grace=3600) == Memory(
        current=Current(SESSION, since=NOW, vitals=Vitals(92)),
        returning=Returning(since=NOW),
    )


def test_a_renewed_session_drains_for_the_grace_period() -> None:
    memory = Memory(current=Current(SESSION, vitals=Vitals(500)), candidate=RENEWING)
    assert memory.proven(NEXT_SESSION, received=92, now=NOW, grace=3600) == Memory(
        current=Current(NEXT_SESSION, since=NOW, vitals=Vitals(92)),
        draining=Draining(SESSION, since=NOW, until=NOW + 3600, vitals=Vitals(500)),
        returning=Returning(since=NOW),
    )


def test_a_session_renewed_at_its_own_server_is_left_at_once() -> None:
    again = dataclasses.replace(SESSION, link="piaw1", public_key="bmV4dA==")
    memory = Memory(current=Current(SESSION), candidate=RENEWING)
    memory = memory.proven(again, received=0, now=NOW, grace=3600)
    step = decide.next_step(AROUND, memory, NOW)
    assert step == decide.Release(SESSION, "the grace period is over")


def test_a_renewal_that_fails_changes_nothing_but_what_is_known_of_it() -> None:
    memory = Memory(current=Current(SESSION), candidate=RENEWING)
    failed = memory.failed(B, UNREACHABLE, NOW, dice())
    assert failed.current == memory.current
    assert failed.candidate is None
    assert failed.failure == UNREACHABLE
    assert failed.setbacks[B.address].failures == 1
    assert failed.moving.failures == 1
    assert NOW + 2.5 <= failed.moving.until <= NOW + 5


def test_renewals_that_fail_wait_ever_longer_up_to_ten_minutes() -> None:
    memory, thrown = Memory(current=Current(SESSION)), random.Random(7)
    for longest in (5, 10, 20, 40, 80, 160, 320, 600, 600):
        memory = memory.trying(RENEWING).failed(B, UNREACHABLE, NOW, thrown)
        assert longest / 2 <= memory.moving.until - NOW <= longest


def test_a_rejected_token_is_no_servers_fault() -> None:
    memory = Memory(candidate=Candidate(A, SLOTS[0]))
    assert memory.rejected("token", REJECTED, NOW, dice()) == Memory(
        rejection=Rejection("token", until=NOW + 300), failure=REJECTED
    )


def test_a_return_that_fails_waits_longer_than_the_last_one() -> None:
    memory = Memory(current=Current(FALLBACK_SESSION), candidate=RETURNING)
    assert memory.failed(A, UNREACHABLE, NOW, dice()).returning == Returning(NOW, failures=1)


def test_a_return_whose_session_soon_dies_counts_as_failed() -> None:
    memory = Memory(current=Current(FALLBACK_SESSION), candidate=RETURNING)
    back = memory.proven(SESSION, received=0, now=NOW, grace=3600)
    assert back.current == Current(SESSION, NOW, Vitals(0), returned=True)
    assert back.ended(SILENT, NOW + 1799, dice()).returning.failures == 1
    assert back.ended(SILENT, NOW + 1800, dice()).returning.failures == 0


def test_the_failures_of_returns_are_remembered_in_the_fallback_location() -> None:
    memory = Memory(candidate=Candidate(C, SLOTS[0]), returning=Returning(0.0, failures=2))
    memory = memory.proven(FALLBACK_SESSION, received=0, now=NOW, grace=3600)
    assert memory.returning == Returning(NOW, failures=2)


def test_a_session_that_is_taken_back_is_the_current_one() -> None:
    memory = Memory(draining=Draining(SESSION, NOW - 60, NOW + 3540), failure=SILENT)
    assert memory.taken_back(received=7, now=NOW) == Memory(
        current=Current(SESSION, NOW, Vitals(7)), returning=Returning(NOW)
    )


def test_a_ping_is_reckoned_to_its_own_link() -> None:
    memory = Memory(current=Current(NEXT_SESSION), draining=Draining(SESSION, NOW, NOW + 60))
    memory = memory.watched(answered={"piaw1"}, received={"piaw0": 0, "piaw1": 128}, busy=False)
    assert memory.current is not None
    assert memory.draining is not None
    assert memory.current.vitals == Vitals(128)
    assert memory.draining.vitals == Vitals(0, misses=1)
    assert not memory.draining.busy


def test_what_an_earlier_process_left_is_taken_up_with_its_deadline() -> None:
    left = Kept(current=NEXT_SESSION, draining=SESSION, drain_until=NOW + 60, exit_address=SEEN)
    memory = Memory(kept=left).adopted(current=NEXT_SESSION, draining=SESSION, now=NOW)
    assert memory == Memory(
        current=Current(NEXT_SESSION, NOW),
        draining=Draining(SESSION, NOW, NOW + 60),
        returning=Returning(NOW),
        exit_address=SEEN,
    )
    assert memory.to_keep() == left


def test_the_outside_is_asked_each_minute_and_sooner_after_a_miss() -> None:
    asked = Inquiry()
    assert asked.after(answered=True, rhythm=OUTSIDE, now=NOW) == Inquiry(NOW + 60)
    missed = asked.after(answered=False, rhythm=OUTSIDE, now=NOW)
    assert missed == Inquiry(NOW + 5, misses=1)
    assert missed.after(answered=False, rhythm=OUTSIDE, now=NOW) == Inquiry(NOW + 5, misses=2)
    assert missed.after(answered=True, rhythm=OUTSIDE, now=NOW) == Inquiry(NOW + 60)


def test_where_no_server_forwards_anything_each_is_kept_longer_than_the_last() -> None:
    cut_off = Failure("NoInternet", "forwards nothing")
    memory, misses = Memory(), []
    for _ in range(7):
        memory = dataclasses.replace(memory, current=Current(SESSION))
        while not isinstance(decide.next_step(AROUND, memory, NOW), decide.GiveUp):
            memory = asked.outside(memory, SESSION, answered=False, now=NOW)
        assert memory.current is not None
        misses.append(memory.current.outside.misses)
        memory = memory.ended(cut_off, NOW, dice())
    assert misses == [3, 6, 12, 24, 48, 96, 96]
    memory = dataclasses.replace(memory, current=Current(SESSION))
    assert asked.outside(memory, SESSION, answered=True, now=NOW).cut_off == 0


def test_an_answer_to_an_earlier_sessions_question_says_nothing_of_this_one() -> None:
    memory = Memory(current=Current(NEXT_SESSION))
    assert asked.outside(memory, SESSION, answered=False, now=NOW) == memory
    assert asked.exit_address(memory, SESSION, SEEN, NOW) == memory


def test_where_pia_does_not_tell_the_exit_address_the_servers_is_what_is_known() -> None:
    memory = Memory(current=Current(SESSION), exit_address=SEEN)
    found = []
    for _ in range(3):
        memory = asked.exit_address(memory, SESSION, None, NOW)
        found.append(str(memory.exit_address))
    assert found == ["198.18.99.1", "198.18.99.1", "198.18.11.1"]


def test_an_exit_address_that_pia_told_stands_though_it_cannot_be_asked_later() -> None:
    memory = asked.exit_address(Memory(current=Current(SESSION)), SESSION, SEEN, NOW)
    for _ in range(5):
        memory = asked.exit_address(memory, SESSION, None, NOW)
    assert memory.exit_address == SEEN


def test_a_first_tunnel_is_an_event() -> None:
    up = Memory(current=Current(SESSION))
    assert list(events.between(Memory(), up)) == [
        Event("Normal", "TunnelUp", "zurich401 (swiss) answers through the tunnel.")
    ]


def test_a_session_that_is_adopted_is_none() -> None:
    left = Memory(kept=Kept(current=SESSION))
    assert list(events.between(left, Memory(current=Current(SESSION)))) == []


def test_a_dead_tunnel_is_an_event_that_says_why() -> None:
    up = Memory(current=Current(SESSION))
    assert list(events.between(up, up.ended(SILENT, NOW, dice()))) == [
        Event("Warning", "TunnelDown", "silent")
    ]


def test_a_renewal_is_an_event() -> None:
    up, renewed = Memory(current=Current(SESSION)), Memory(current=Current(NEXT_SESSION))
    assert list(events.between(up, renewed)) == [
        Event(
            "Normal",
            "Renewed",
            "New connections go through zurich402 (swiss); established ones stay with "
            "zurich401 (swiss) until they end or the grace period is over.",
        )
    ]


def test_another_exit_address_is_an_event_and_the_first_one_is_not() -> None:
    none, one = Memory(), Memory(exit_address=SEEN)
    other = Memory(exit_address=ipaddress.IPv4Address("198.18.99.2"))
    assert list(events.between(none, one)) == []
    assert list(events.between(one, other)) == [
        Event(
            "Normal",
            "ExitAddressChanged",
            "The Internet sees 198.18.99.2 now; before, 198.18.99.1.",
        )
    ]
