"""A session is replaced by one at another server, and apps do not notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, nodes, probes, renewals, talk, waiting

PINGS = 1_000
CONNECTIONS = 20


@pytest.fixture
def renewable() -> Iterator[probes.Tunnel]:
    """Give a tunnel in a region with two servers."""
    with probes.tunnel("renewal", location="nl_amsterdam") as tunnel:
        waiting.eventually(
            lambda: tunnel.status().get("session", {}).get("renewTime"), "it is appointed"
        )
        yield tunnel


def events(vpn: str) -> list[str]:
    found = kubectl.items("events", "-n", "default", f"--field-selector=involvedObject.name={vpn}")
    return [event["reason"] for event in found]


def test_a_renewal_on_request_loses_no_ping_and_breaks_no_connection(
    renewable: probes.Tunnel, pia: client.Client
) -> None:
    marker = pia.mark_leaks()
    before, uid = renewable.server_address, renewable.app.get()["metadata"]["uid"]
    with talk.talking(renewable.app, pings=PINGS, connections=CONNECTIONS) as quiet:
        control = quiet.end()
    with talk.talking(renewable.app, pings=PINGS, connections=CONNECTIONS) as talking:
        renewals.renew(renewable)
        after = renewable.server_address
        assert renewable.app.tcp() == after
        assert renewable.app.resolve("whoami.test") == after
        renewed = talking.end()

    assert (control.lost, control.broken_connections) == (0, 0)
    assert (renewed.lost, renewed.broken_connections) == (0, 0)
    assert after != before
    assert renewable.app.get()["metadata"]["uid"] == uid
    waiting.eventually(lambda: "Renewed" in events(renewable.vpn), "an Event tells of it")
    waiting.eventually(
        lambda: renewable.status().get("exitAddress") == after, "the status tells the way out"
    )
    assert pia.leaks(marker).packets == 0


@pytest.mark.owns_nodes
def test_a_gateway_whose_process_was_killed_goes_on_with_both_sessions(
    renewable: probes.Tunnel, pia: client.Client
) -> None:
    with talk.talking(renewable.app, pings=1, connections=1) as talking:
        renewals.renew(renewable)
        session, calls = renewable.status()["session"], pia.state().servers
        uid = renewable.gateway.get()["metadata"]["uid"]
        nodes.kill_process_of(renewable.gateway.node, uid, "gateway")
        waiting.eventually(lambda: restarts(renewable.gateway) == 1, "its container is back")
        kubectl.wait_for("pod", renewable.gateway.name, "Ready", renewable.gateway.namespace)
        assert renewable.app.tcp() == session["serverAddress"]
        assert talking.end().broken_connections == 0

    assert renewable.status()["session"]["publicKey"] == session["publicKey"]
    asked = pia.state().servers
    assert {cn: len(server.add_key_calls) for cn, server in asked.items()} == {
        cn: len(server.add_key_calls) for cn, server in calls.items()
    }


def restarts(pod: probes.Pod) -> int:
    (container,) = pod.get()["status"]["containerStatuses"]
    return int(container["restartCount"])
