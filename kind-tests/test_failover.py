"""A tunnel whose server fails goes on through others, and comes back to where it is wanted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, probes, waiting

FIRST_TWO = ("Server-12399-1a", "amsterdam402")


@pytest.fixture
def roaming() -> Iterator[probes.Tunnel]:
    """Give a tunnel that has two servers where it is wanted, and two locations to fall back to."""
    spec = {"fallbackLocations": ["panama", "us_chicago"], "returnAfter": "5s"}
    with probes.tunnel("roaming", location="nl_amsterdam", **spec) as tunnel:
        yield tunnel


def server(tunnel: probes.Tunnel) -> str:
    return str((tunnel.status().get("session") or {}).get("server"))


def told_of(tunnel: probes.Tunnel, words: str) -> bool:
    selected = f"--field-selector=involvedObject.name={tunnel.vpn}"
    found = kubectl.items("events", "-n", "default", selected)
    return any(words in event["message"] for event in found)


def dead(*servers: str) -> dict[str, dict[str, str]]:
    return {"server": dict.fromkeys(servers, "dead")}


def test_a_tunnel_goes_through_each_server_then_each_fallback_and_returns(
    roaming: probes.Tunnel, pia: client.Client
) -> None:
    uid, marker = roaming.app.get()["metadata"]["uid"], pia.mark_leaks()
    first = server(roaming)
    (second,) = set(FIRST_TWO) - {first}

    with pia.failing(dead(first)):
        waiting.eventually(lambda: server(roaming) == second, "the location's other server")
        assert roaming.app.tcp() == roaming.server_address
    with pia.failing(dead(*FIRST_TWO)):
        waiting.eventually(lambda: server(roaming) == "panama409", "the first fallback")
        assert roaming.app.tcp() == "198.18.15.1"
        with pia.failing(dead(*FIRST_TWO, "panama409")):
            waiting.eventually(lambda: server(roaming) == "chicago401", "the second fallback")
            assert roaming.app.tcp() == "198.18.14.1"

    waiting.eventually(lambda: server(roaming) in FIRST_TWO, "the return", timeout=180)
    assert roaming.app.tcp() == roaming.server_address
    assert roaming.app.get()["metadata"]["uid"] == uid
    assert pia.leaks(marker).packets == 0


def test_a_server_that_answers_and_forwards_nothing_is_left(
    roaming: probes.Tunnel, pia: client.Client
) -> None:
    first = server(roaming)

    with pia.failing({"server": {first: "isolated"}}):
        waiting.eventually(lambda: server(roaming) != first, "another server", timeout=180)
        assert roaming.app.tcp() == roaming.server_address

    waiting.eventually(lambda: told_of(roaming, "forwards nothing"), "an Event says why")


def test_a_gateway_that_finds_its_server_dead_at_its_start_takes_another(
    roaming: probes.Tunnel, pia: client.Client
) -> None:
    first = server(roaming)

    with pia.failing(dead(first)):
        kubectl.run("delete", "pod", roaming.gateway.name, "-n", manifests.SYSTEM)
        kubectl.wait_for("piavpn", roaming.vpn, "Ready")
        assert server(roaming) != first
        waiting.eventually(lambda: roaming.app.tcp() == roaming.server_address, "the app goes on")
