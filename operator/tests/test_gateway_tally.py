"""What the gateway counts of its tunnel's life."""

from __future__ import annotations

import dataclasses
import ipaddress
import random

from gateway_objects import NEXT_SESSION, SESSION, A, B

from piavpn.gateway.kept import Kept
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.moves import Purpose
from piavpn.gateway.roles import Candidate, Current
from piavpn.gateway.slots import SLOTS
from piavpn.gateway.tally import Tally

DICE = random.Random(1)
UNREACHABLE = Failure("Unreachable", "zurich402 cannot be reached")
SILENT = Failure("ServerSilent", "silent")
UP = Memory(current=Current(SESSION), exit_address=SESSION.address)
RENEWING = UP.trying(Candidate(B, SLOTS[1], Purpose.RENEWAL))
NOTHING = Tally()


def test_before_anything_happens_all_is_zero_and_told() -> None:
    assert Tally({"success": 0}, {"success": 0, "failure": 0}, 0, 0) == NOTHING


def test_a_first_session_is_one_registration() -> None:
    trying = Memory().trying(Candidate(A, SLOTS[0]))
    proven = trying.proven(SESSION, received=0, now=0.0, grace=60.0)
    counted = NOTHING.after(Memory(), trying).after(trying, proven)
    assert counted == dataclasses.replace(NOTHING, registrations={"success": 1})


def test_a_failed_attempt_is_counted_by_its_reason() -> None:
    trying = Memory().trying(Candidate(A, SLOTS[0]))
    failed = trying.failed(A, UNREACHABLE, 0.0, DICE)
    assert NOTHING.after(trying, failed).registrations == {"success": 0, "Unreachable": 1}


def test_a_renewal_counts_whether_it_succeeds_or_not() -> None:
    failed = RENEWING.failed(B, UNREACHABLE, 0.0, DICE)
    proven = RENEWING.proven(NEXT_SESSION, received=0, now=0.0, grace=60.0)
    assert NOTHING.after(RENEWING, failed).renewals == {"success": 0, "failure": 1}
    assert NOTHING.after(RENEWING, proven).renewals == {"success": 1, "failure": 0}
    assert NOTHING.after(RENEWING, proven).failovers == 0


def test_a_move_that_is_no_renewal_is_not_counted_as_one() -> None:
    returning = UP.trying(Candidate(B, SLOTS[1], Purpose.RETURN))
    proven = returning.proven(NEXT_SESSION, received=0, now=0.0, grace=60.0)
    assert NOTHING.after(returning, proven).renewals == {"success": 0, "failure": 0}


def test_a_session_that_is_given_up_is_a_failover() -> None:
    assert NOTHING.after(UP, UP.ended(SILENT, 0.0, DICE)).failovers == 1


def test_what_an_earlier_process_left_happened_before() -> None:
    kept = Memory(kept=Kept(current=SESSION, exit_address=SESSION.address))
    adopted = kept.adopted(current=SESSION, draining=None, now=0.0)
    assert NOTHING.after(kept, adopted) == NOTHING


def test_another_exit_address_is_a_change_and_the_first_one_is_not() -> None:
    other = dataclasses.replace(UP, exit_address=ipaddress.IPv4Address("198.18.99.1"))
    unknown = dataclasses.replace(UP, exit_address=None)
    assert NOTHING.after(unknown, UP).exit_address_changes == 0
    assert NOTHING.after(UP, other).exit_address_changes == 1
    assert NOTHING.after(other, other).exit_address_changes == 0
