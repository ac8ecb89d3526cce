"""A session whose server falls silent is kept until there is another, and may answer again."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from datetime import UTC, datetime

from gateway_objects import CONFIG, NEXT_SESSION, SESSION, A, B, C

from piavpn.api.gateway_config import Server
from piavpn.gateway import decide, events, silence
from piavpn.gateway.decide import Register, Surroundings, Wait
from piavpn.gateway.events import Event
from piavpn.gateway.inquiry import Inquiry
from piavpn.gateway.memory import Failure, Memory
from piavpn.gateway.moves import Purpose, Returning
from piavpn.gateway.roles import Candidate, Current, Lost
from piavpn.gateway.setbacks import Setback
from piavpn.gateway.slots import SLOTS
from piavpn.gateway.tally import Tally
from piavpn.gateway.vitals import Vitals

NOW = 100_000.0
TIME = datetime(2026, 12, 23, 4, 0, tzinfo=UTC)
AROUND = Surroundings(missing=(), config=CONFIG, config_problem="", token="token", time=TIME)
SILENT = Failure("ServerSilent", "silent")
UNREACHABLE = Failure("Unreachable", "no answer")
EARLIER = {B.address: Setback(2, NOW - 900)}
CURRENT = Current(
    SESSION, since=NOW - 900, vitals=Vitals(500, misses=5), outside=Inquiry(NOW, 1), returned=True
)
UP = Memory(current=CURRENT, setbacks=EARLIER, returning=Returning(NOW - 900, failures=1))


def dice() -> random.Random:
    return random.Random(1)


def lost() -> Memory:
    return silence.begun(UP, SILENT, NOW, dice())


def tried(memory: Memory, seconds: int) -> tuple[Memory, list[Server]]:
    """Have all attempts fail for so long; return what is known then, and who was asked."""
    asked = []
    for second in range(seconds):
        now = NOW + second
        step = decide.next_step(AROUND, memory, now)
        if isinstance(step, Register):
            server = step.candidate.server
            memory = memory.trying(step.candidate).failed(server, UNREACHABLE, now, dice())
            asked.append(server)
        else:
            assert isinstance(step, Wait)
    return memory, asked


def test_a_lost_session_keeps_its_slot_its_server_and_its_place_in_the_file() -> None:
    memory = lost()
    assert (memory.session, memory.failure) == (None, SILENT)
    assert memory.free_slots() == (SLOTS[1],)
    assert memory.servers_in_use() == (A.address,)
    assert memory.to_keep() == UP.to_keep()


def test_when_it_answers_again_all_is_as_before() -> None:
    memory, asked = tried(lost(), 300)
    assert set(asked) == {A, B, C}
    assert silence.ended(memory, received=700) == dataclasses.replace(
        UP,
        current=dataclasses.replace(CURRENT, vitals=Vitals(700), outside=Inquiry()),
        calm=EARLIER,
    )


def test_its_own_server_is_not_asked_for_a_session_that_would_end_it() -> None:
    _, asked = tried(lost(), 10)
    assert set(asked) == {B, C}
    _, asked = tried(lost(), 11)
    assert A in asked


def test_another_session_that_is_up_takes_its_place() -> None:
    memory = lost().trying(Candidate(B, SLOTS[1]))
    memory = memory.proven(NEXT_SESSION, received=0, now=NOW + 3, grace=3600)
    assert (memory.session, memory.lost, memory.draining) == (NEXT_SESSION, None, None)
    assert memory.setbacks[A.address].failures == 1


def test_failures_while_no_server_could_be_reached_are_held_against_none() -> None:
    memory, _ = tried(lost(), 300)
    memory = memory.trying(Candidate(B, SLOTS[1]))
    memory = memory.proven(NEXT_SESSION, received=0, now=NOW + 300, grace=3600)
    assert memory.setbacks == EARLIER


def test_a_session_that_comes_too_late_is_not_needed() -> None:
    memory = silence.ended(lost().trying(Candidate(B, SLOTS[1])), received=700)
    assert not silence.needs(memory, NEXT_SESSION)
    assert silence.without_candidate(memory) == silence.ended(lost(), received=700)
    failed = memory.failed(B, UNREACHABLE, NOW + 3, dice())
    assert failed == dataclasses.replace(memory, candidate=None, failure=UNREACHABLE)


def test_one_at_the_lost_sessions_own_server_is_needed_all_the_same() -> None:
    again = dataclasses.replace(SESSION, link="piaw1", public_key="bmV4dA==")
    memory = silence.ended(lost().trying(Candidate(A, SLOTS[1])), received=700)
    assert silence.needs(memory, again)


def test_a_renewal_that_was_under_way_is_needed_all_the_same() -> None:
    renewing = Candidate(B, SLOTS[1], Purpose.RENEWAL)
    memory = silence.ended(lost().trying(renewing), received=700)
    assert silence.needs(memory, NEXT_SESSION)


def test_both_its_loss_and_its_return_are_events() -> None:
    memory = lost()
    assert list(events.between(UP, memory)) == [Event("Warning", "TunnelDown", "silent")]
    assert list(events.between(memory, silence.ended(memory, received=700))) == [
        Event("Normal", "TunnelUp", "zurich401 (swiss) answers through the tunnel.")
    ]


def test_it_counts_as_given_up_only_when_another_takes_its_place() -> None:
    memory = lost()
    assert Tally().after(UP, memory).failovers == 0
    assert Tally().after(memory, silence.ended(memory, received=700)).failovers == 0
    other = memory.proven(NEXT_SESSION, received=0, now=NOW, grace=3600)
    assert Tally().after(memory, other).failovers == 1
    assert Tally().after(memory, memory.released(SESSION)).failovers == 1


def test_a_session_of_an_earlier_process_that_does_not_answer_is_lost() -> None:
    memory = Memory().adopted(current=None, draining=None, lost=SESSION, now=NOW)
    assert memory.lost == Lost(Current(SESSION, NOW), Returning(NOW))
    assert memory.exit_address is None
    assert ipaddress.IPv4Address("198.18.11.1") in memory.servers_in_use()
