"""What the gateway does next."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import UTC, datetime

import pytest
from gateway_objects import CONFIG, FALLBACK_SESSION, NEXT_SESSION, SESSION, A, B, C

from piavpn.api.gateway_config import Renewal, Server
from piavpn.gateway import decide
from piavpn.gateway.decide import (
    Adopt,
    Await,
    GiveUp,
    Lose,
    Register,
    Release,
    Surroundings,
    TakeBack,
    Wait,
    Watch,
)
from piavpn.gateway.inquiry import Inquiry
from piavpn.gateway.kept import Kept
from piavpn.gateway.memory import Failure, Memory, Rejection
from piavpn.gateway.moves import Move, Purpose, Returning
from piavpn.gateway.roles import Candidate, Current, Draining, Lost
from piavpn.gateway.setbacks import Setback
from piavpn.gateway.slots import SLOTS
from piavpn.gateway.vitals import Vitals

NOW = 100_000.0
TIME = datetime(2026, 12, 23, 4, 0, tzinfo=UTC)
COMPLETE = Surroundings(missing=(), config=CONFIG, config_problem="", token="token", time=TIME)
UNREACHABLE = Failure("Unreachable", "zurich401 (198.18.11.1:1337) cannot be reached")
REJECTED = Failure("TokenRejected", "zurich401 (198.18.11.1:1337) rejects the account's token")


def around(**changes: object) -> Surroundings:
    return dataclasses.replace(COMPLETE, **changes)  # type: ignore[arg-type]


def waits(*servers: Server, until: float) -> dict[ipaddress.IPv4Address, Setback]:
    return {server.address: Setback(1, until) for server in servers}


CURRENT = Current(SESSION, since=0.0)
FALLEN_BACK = Current(FALLBACK_SESSION, since=0.0)
DRAINING = Draining(SESSION, since=NOW - 60, until=NOW + 3540)
SWISS_FIRST = dataclasses.replace(CONFIG, locations=("swiss", "de-frankfurt"))
RENEWING = dataclasses.replace(CONFIG, renewal=Renewal(SESSION.public_key, TIME))
TO_RENEW = Move(Purpose.RENEWAL, (B, C))
LOST = Lost(CURRENT, Returning())
LEFT = Kept(current=NEXT_SESSION, draining=SESSION, drain_until=NOW + 60)


def at(server: Server, link: int = 0, purpose: Purpose | None = None) -> Candidate:
    return Candidate(server, SLOTS[link], purpose)


STEPS: dict[str, tuple[Surroundings, Memory, decide.Step]] = {
    "with all there it registers at the first server": (
        COMPLETE,
        Memory(),
        Register(at(A), CONFIG, "token"),
    ),
    "while a session is made it waits for that": (
        COMPLETE,
        Memory(candidate=at(A)),
        Await(at(A)),
    ),
    "links come before anything else": (
        around(missing=("the lock of eth0", "piaw0"), config=None, token=None),
        Memory(kept=LEFT),
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
    "sessions of an earlier process are adopted even without token": (
        around(token=None),
        Memory(kept=LEFT),
        Adopt(LEFT),
    ),
    "a tunnel in a location that is still asked for is kept": (
        around(config=dataclasses.replace(CONFIG, locations=("nl_amsterdam", "swiss"))),
        Memory(current=CURRENT),
        Watch(CURRENT),
    ),
    "a tunnel in a location that is no more asked for moves while it lives": (
        around(config=dataclasses.replace(CONFIG, locations=("de-frankfurt",))),
        Memory(current=CURRENT),
        Register(
            at(C, 1, Purpose.LOCATION_CHANGE),
            dataclasses.replace(CONFIG, locations=("de-frankfurt",)),
            "token",
        ),
    ),
    "a session whose time has come is renewed on the other slot": (
        around(config=RENEWING),
        Memory(current=CURRENT),
        Register(at(B, 1, Purpose.RENEWAL), RENEWING, "token"),
    ),
    "while the next session is made the present one is watched": (
        around(config=RENEWING),
        Memory(current=CURRENT, candidate=at(B, 1, Purpose.RENEWAL)),
        Watch(CURRENT, waiting=TO_RENEW),
    ),
    "a renewal that failed waits": (
        around(config=RENEWING),
        Memory(current=CURRENT, moving=Setback(1, until=NOW + 1), failure=UNREACHABLE),
        Watch(CURRENT, waiting=TO_RENEW),
    ),
    "a renewal that failed goes to another server the next time": (
        around(config=RENEWING),
        Memory(
            current=CURRENT,
            moving=Setback(1, until=NOW),
            setbacks={B.address: Setback(1, NOW)},
            failure=UNREACHABLE,
        ),
        Register(at(C, 1, Purpose.RENEWAL), RENEWING, "token"),
    ),
    "a renewal waits for a token": (
        around(config=RENEWING, token=None),
        Memory(current=CURRENT),
        Watch(CURRENT, waiting=TO_RENEW),
    ),
    "a renewal waits for a token that is not rejected": (
        around(config=RENEWING),
        Memory(current=CURRENT, rejection=Rejection("token", until=NOW + 1)),
        Watch(CURRENT, waiting=TO_RENEW),
    ),
    "a renewal waits for the links": (
        around(config=RENEWING, missing=("piaw1",)),
        Memory(current=CURRENT),
        Watch(CURRENT, waiting=TO_RENEW),
    ),
    "a renewal waits until the connections of the last one have left": (
        around(
            config=dataclasses.replace(RENEWING, renewal=Renewal(NEXT_SESSION.public_key, TIME))
        ),
        Memory(current=Current(NEXT_SESSION), draining=DRAINING),
        Watch(Current(NEXT_SESSION), DRAINING, waiting=Move(Purpose.RENEWAL, (A, C))),
    ),
    "a tunnel in a fallback location returns in the end": (
        around(config=SWISS_FIRST),
        Memory(current=FALLEN_BACK, returning=Returning(since=NOW - 1800)),
        Register(at(A, 1, Purpose.RETURN), SWISS_FIRST, "token"),
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
        Register(at(A), CONFIG, "new"),
    ),
    "a rejected token is tried again in the end": (
        COMPLETE,
        Memory(rejection=Rejection("token", until=NOW), failure=REJECTED),
        Register(at(A), CONFIG, "token"),
    ),
    "a server that must wait is passed over": (
        COMPLETE,
        Memory(setbacks=waits(A, until=NOW + 1), failure=UNREACHABLE),
        Register(at(B), CONFIG, "token"),
    ),
    "where all must wait, it waits and tells the last failure": (
        COMPLETE,
        Memory(setbacks=waits(A, B, C, until=NOW + 1), failure=UNREACHABLE),
        Wait(UNREACHABLE),
    ),
    "a living tunnel is watched, whatever else is amiss": (
        around(config=None, config_problem="gone", token=None, missing=("piaw1",)),
        Memory(current=CURRENT),
        Watch(CURRENT),
    ),
    "a tunnel that misses four pings is still watched": (
        COMPLETE,
        Memory(current=Current(SESSION, vitals=Vitals(10, misses=4))),
        Watch(Current(SESSION, vitals=Vitals(10, misses=4))),
    ),
    "a session whose server is silent is lost": (
        COMPLETE,
        Memory(current=Current(SESSION, vitals=Vitals(10, misses=5))),
        Lose(
            SESSION,
            Failure(
                "ServerSilent",
                "zurich401 (swiss) answered none of 5 pings through the tunnel and sent nothing "
                "else; the gateway looks for another server, and keeps this session until it has "
                "one.",
            ),
        ),
    ),
    "a tunnel to a server that forwards nothing is given up": (
        COMPLETE,
        Memory(current=Current(SESSION, outside=Inquiry(due=NOW, misses=3))),
        GiveUp(
            SESSION,
            Failure(
                "NoInternet",
                "zurich401 (swiss) answers pings and forwards nothing: none of 3 questions to its "
                "resolvers was answered; the gateway registers anew.",
            ),
        ),
    ),
    "a session whose link is gone is given up": (
        around(missing=("piaw0",)),
        Memory(current=CURRENT),
        GiveUp(SESSION, Failure("LinkGone", "The link piaw0 is gone.")),
    ),
    "a session whose server is silent is lost while the next one is made": (
        COMPLETE,
        Memory(
            current=Current(SESSION, vitals=Vitals(10, misses=5)),
            candidate=at(B, 1, Purpose.RENEWAL),
        ),
        Lose(
            SESSION,
            Failure(
                "ServerSilent",
                "zurich401 (swiss) answered none of 5 pings through the tunnel and sent nothing "
                "else; the gateway looks for another server, and keeps this session until it has "
                "one.",
            ),
        ),
    ),
    "while a session is lost another one is made on the other slot": (
        COMPLETE,
        Memory(lost=LOST),
        Register(at(A, 1), CONFIG, "token"),
    ),
    "while a session is lost the one that drains is taken back": (
        COMPLETE,
        Memory(
            lost=Lost(Current(NEXT_SESSION), Returning()),
            draining=DRAINING,
        ),
        TakeBack(SESSION),
    ),
    "a lost session whose link is gone is released": (
        around(missing=("piaw0",)),
        Memory(lost=LOST),
        Release(SESSION, "its link is gone"),
    ),
    "and then that session is awaited": (
        COMPLETE,
        Memory(candidate=at(B, 1, Purpose.RENEWAL)),
        Await(at(B, 1, Purpose.RENEWAL)),
    ),
    "established connections stay on the old session": (
        COMPLETE,
        Memory(current=Current(NEXT_SESSION), draining=DRAINING),
        Watch(Current(NEXT_SESSION), DRAINING),
    ),
    "when the grace period is over the old session is released": (
        COMPLETE,
        Memory(current=Current(NEXT_SESSION), draining=Draining(SESSION, NOW - 3600, NOW)),
        Release(SESSION, "the grace period is over"),
    ),
    "when its last connection has ended the old session is released": (
        COMPLETE,
        Memory(
            current=Current(NEXT_SESSION),
            draining=Draining(SESSION, NOW - 10, NOW + 3590, busy=False),
        ),
        Release(SESSION, "its last connection has ended"),
    ),
    "a connection that was just begun is waited for": (
        COMPLETE,
        Memory(
            current=Current(NEXT_SESSION),
            draining=Draining(SESSION, NOW - 9, NOW + 3591, busy=False),
        ),
        Watch(Current(NEXT_SESSION), Draining(SESSION, NOW - 9, NOW + 3591, busy=False)),
    ),
    "an old session that died is released": (
        COMPLETE,
        Memory(
            current=Current(NEXT_SESSION),
            draining=dataclasses.replace(DRAINING, vitals=Vitals(10, misses=5)),
        ),
        Release(SESSION, "its server is silent"),
    ),
    "an old session whose link is gone is released": (
        around(missing=("piaw0",)),
        Memory(current=Current(NEXT_SESSION), draining=DRAINING),
        Release(SESSION, "its link is gone"),
    ),
    "when the new session dies the old one is taken back": (
        COMPLETE,
        Memory(draining=DRAINING),
        TakeBack(SESSION),
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
        Register(at(A), CONFIG, secret),
        Memory(rejection=Rejection(secret, until=NOW)),
    ]
    assert secret not in repr(shown)
