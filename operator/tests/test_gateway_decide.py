"""What the gateway does next, and what it remembers of how that went."""

from __future__ import annotations

import dataclasses
import ipaddress
import random

import pytest
from gateway_objects import CONFIG, SESSION, A, B, C

from piavpn.api.gateway_config import Server
from piavpn.gateway import decide, setbacks
from piavpn.gateway.decide import Adopt, GiveUp, Register, Surroundings, Wait, Watch
from piavpn.gateway.memory import Failure, Memory, Rejection
from piavpn.gateway.setbacks import Setback
from piavpn.gateway.vitals import Vitals

COMPLETE = Surroundings(missing=(), config=CONFIG, config_problem="", token="token")
UNREACHABLE = Failure("Unreachable", "zurich401 (198.18.11.1:1337) cannot be reached")
REJECTED = Failure("TokenRejected", "zurich401 (198.18.11.1:1337) rejects the account's token")
NOW = 1000.0


def around(**changes: object) -> Surroundings:
    return dataclasses.replace(COMPLETE, **changes)  # type: ignore[arg-type]


def waits(*servers: Server, until: float) -> dict[ipaddress.IPv4Address, Setback]:
    return {server.address: Setback(1, until) for server in servers}


STEPS: dict[str, tuple[Surroundings, Memory, decide.Step]] = {
    "with all there it registers at the first server": (
        COMPLETE,
        Memory(),
        Register(A, CONFIG, "token"),
    ),
    "links come before anything else": (
        around(missing=("the lock of eth0", "piaw0"), config=None, token=None),
        Memory(kept=SESSION),
        Wait(
            Failure(
                "WaitingForNode",
                "The node agent has yet to make the lock of eth0, piaw0 in the gateway's pod: "
                "see the condition GatewayAttached.",
            )
        ),
    ),
    "without configuration it says why": (
        around(config=None, config_problem="it is no JSON"),
        Memory(),
        Wait(Failure("ConfigurationUnusable", "it is no JSON")),
    ),
    "a session of an earlier process is adopted even without token": (
        around(token=None),
        Memory(kept=SESSION),
        Adopt(SESSION),
    ),
    "a tunnel in a location that is still asked for is kept": (
        around(config=dataclasses.replace(CONFIG, locations=("nl_amsterdam", "swiss"))),
        Memory(session=SESSION),
        Watch(SESSION),
    ),
    "a tunnel in a location that is no more asked for is given up for one that is": (
        around(config=dataclasses.replace(CONFIG, locations=("de-frankfurt",))),
        Memory(session=SESSION),
        GiveUp(
            SESSION,
            Failure(
                "LocationChanged",
                f"{SESSION.place} is in none of the locations asked for now; moving.",
            ),
        ),
    ),
    "a tunnel is not given up for a location without servers": (
        around(config=dataclasses.replace(CONFIG, locations=("atlantis",))),
        Memory(session=SESSION),
        Watch(SESSION),
    ),
    "without token it waits for the operator's login": (
        around(token=None),
        Memory(),
        Wait(
            Failure(
                "WaitingForToken",
                "There is no token of the PIA account yet: see the condition Authenticated.",
            )
        ),
    ),
    "without servers it waits for the operator's list": (
        around(config=dataclasses.replace(CONFIG, servers=())),
        Memory(),
        Wait(
            Failure(
                "NoServers",
                "There is no server to register at: see the condition ServersKnown.",
            )
        ),
    ),
    "a rejected token is not used again": (
        COMPLETE,
        Memory(rejection=Rejection("token", until=NOW + 1), failure=REJECTED),
        Wait(REJECTED),
    ),
    "another token is used at once": (
        around(token="new"),
        Memory(rejection=Rejection("token", until=NOW + 1), failure=REJECTED),
        Register(A, CONFIG, "new"),
    ),
    "a rejected token is tried again in the end": (
        COMPLETE,
        Memory(rejection=Rejection("token", until=NOW), failure=REJECTED),
        Register(A, CONFIG, "token"),
    ),
    "a server that must wait is passed over": (
        COMPLETE,
        Memory(setbacks=waits(A, until=NOW + 1), failure=UNREACHABLE),
        Register(B, CONFIG, "token"),
    ),
    "where all must wait, it waits and tells the last failure": (
        COMPLETE,
        Memory(setbacks=waits(A, B, C, until=NOW + 1), failure=UNREACHABLE),
        Wait(UNREACHABLE),
    ),
    "a living tunnel is watched, whatever else is amiss": (
        around(config=None, config_problem="gone", token=None, missing=("piaw1",)),
        Memory(session=SESSION),
        Watch(SESSION),
    ),
    "a tunnel that misses four pings is still watched": (
        COMPLETE,
        Memory(session=SESSION, vitals=Vitals(10, misses=4)),
        Watch(SESSION),
    ),
    "a dead tunnel is given up": (
        COMPLETE,
        Memory(session=SESSION, vitals=Vitals(10, misses=5)),
        GiveUp(
            SESSION,
            Failure(
                "ServerSilent",
                "zurich401 (swiss) answered none of 5 pings through the tunnel and sent nothing "
                "else; the gateway registers anew.",
            ),
        ),
    ),
    "a session whose link is gone is given up": (
        around(missing=("piaw0",)),
        Memory(session=SESSION),
        GiveUp(SESSION, Failure("LinkGone", "The link piaw0 is gone.")),
    ),
}


@pytest.mark.parametrize("promise", STEPS)
def test_the_next_step(promise: str) -> None:
    surroundings, memory, step = STEPS[promise]
    assert decide.next_step(surroundings, memory, NOW) == step


def test_a_token_is_in_no_representation() -> None:
    secret = "5ecr3t"
    shown = [
        around(token=secret),
        Register(A, CONFIG, secret),
        Memory(rejection=Rejection(secret, until=NOW)),
    ]
    assert secret not in repr(shown)


def test_all_servers_are_tried_in_order_before_one_is_tried_again() -> None:
    dice = random.Random(1)
    memory, tried = Memory(), []
    for moment in (0.0, 5.0, 10.0):  # by 5.0 the first one's wait of a second is long over
        step = decide.next_step(COMPLETE, memory, moment)
        assert isinstance(step, Register)
        tried.append(step.server)
        memory = memory.failed(step.server, UNREACHABLE, moment, dice)
    assert tried == [A, B, C]


def test_the_wait_after_failures_doubles_up_to_a_minute_with_jitter() -> None:
    dice = random.Random(7)
    known: setbacks.Setbacks = {}
    for longest in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        known = setbacks.failed(known, A.address, 100.0, dice)
        assert longest / 2 <= known[A.address].until - 100.0 <= longest


def test_a_settled_session_clears_its_servers_earlier_failures() -> None:
    earlier = {A.address: Setback(6, 0.0)}
    memory = Memory(session=SESSION, since=0.0, setbacks=earlier)
    silent = Failure("ServerSilent", "silent")
    assert memory.ended(SESSION, silent, 59.0, random.Random(1)).setbacks[A.address].failures == 7
    assert memory.ended(SESSION, silent, 60.0, random.Random(1)).setbacks[A.address].failures == 1


def test_after_a_servers_death_another_one_comes_first() -> None:
    memory = Memory(session=SESSION, since=0.0)
    memory = memory.ended(SESSION, Failure("ServerSilent", "silent"), NOW, random.Random(1))
    assert memory.session is None
    assert decide.next_step(COMPLETE, memory, NOW + 100) == Register(B, CONFIG, "token")


def test_a_proven_session_leaves_no_failure_behind() -> None:
    memory = Memory(kept=SESSION, failure=REJECTED, rejection=Rejection("token", until=NOW))
    assert memory.proven(SESSION, received=92, now=NOW) == Memory(
        session=SESSION, since=NOW, vitals=Vitals(92)
    )


def test_a_rejected_token_is_no_servers_fault() -> None:
    assert Memory().rejected("token", REJECTED, NOW) == Memory(
        rejection=Rejection("token", until=NOW + 300), failure=REJECTED
    )
