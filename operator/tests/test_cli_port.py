"""`kubectl piavpn port`: the port from PIA to the app, and whether somebody outside reaches it."""

from __future__ import annotations

import json
from typing import Any

import cli_world
import kube_server
import pytest
from cli_world import Kubectl, Said, condition

from piavpn import kube

api, kubectl = cli_world.api, cli_world.kubectl

PORT = {
    "port": 45678,
    "expiresAt": "2027-01-20T12:00:00Z",
    "lastBoundAt": "2026-11-23T11:57:00Z",
}
FORWARDED = condition(
    "PortForwarded", "True", "Bound", "Port 45678 (TCP and UDP) goes to 10.100.0.10:45678."
)
OPEN = condition("PortOpen", "True", "Reached", "The port was reached from outside.")
CLOSED = condition("PortOpen", "False", "NotReached", "Nobody answers at the port from outside.")
TOLD = condition("PortPropagated", "True", "Told", "port 45678 was told after 1 attempt")


def put_port(api: kube_server.Api, *more: dict[str, Any], check: bool = False) -> None:
    """Make a tunnel with a port, and the app that receives it."""
    endpoints = {"endpoints": {"portCheckURL": "https://check.test/port/{port}"}} if check else {}
    cli_world.put_vpn(api, spec=endpoints, forwardedPort=PORT, conditions=[FORWARDED, *more])
    accepted = condition("Accepted", "True", "Accepted")
    cli_world.put_app(
        api,
        "torrent",
        spec={"receiveForwardedPort": {"protocol": "Both"}},
        conditions=[accepted, TOLD],
    )


def test_the_whole_way_of_the_port_is_shown(api: kube_server.Api, kubectl: Kubectl) -> None:
    put_port(api)
    cli_world.put_app(api, "web")
    assert kubectl.piavpn("port", "home") == Said(
        0,
        "Port:        45678 at 198.18.11.1\n"
        "Receiver:    media/torrent\n"
        "Forwarded:   yes: Port 45678 (TCP and UDP) goes to 10.100.0.10:45678.\n"
        "Last bound:  2026-11-23T11:57:00Z (3m ago)\n"
        "Expires:     2027-01-20T12:00:00Z (in 58d)\n"
        "Told:        yes: port 45678 was told after 1 attempt\n",
    )


def test_of_two_that_want_the_port_the_one_that_has_it_is_shown(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_port(api)
    refused = condition("Accepted", "False", "PortReceiverTaken", "media/torrent receives it")
    wants = {"receiveForwardedPort": {"protocol": "Both"}}
    cli_world.put_app(api, "another", spec=wants, conditions=[refused])
    assert "Receiver:    media/torrent\n" in kubectl.piavpn("port", "home").out


def test_where_nobody_receives_a_port_it_is_told_how_to_have_one(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api)
    assert kubectl.piavpn("port", "home") == Said(
        1,
        "Port:        no app behind PiaVpn home receives one: give one receiveForwardedPort: {}, "
        "or a pod piavpn.dev/receive-forwarded-port\n",
    )


def put_receiving_pod(api: kube_server.Api, name: str) -> None:
    accepted = condition("piavpn.dev/Accepted", "True", "Accepted")
    cli_world.put_labelled_pod(api, name, conditions=[accepted])
    wants = {"piavpn.dev/receive-forwarded-port": "51413/both"}
    api.put(kube.PODS, name, "office", metadata={"annotations": wants})


def test_of_labelled_pods_that_want_the_port_the_one_that_has_it_is_shown(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    for name in ("crawler-x", "crawler-y"):
        put_receiving_pod(api, name)
    has = PORT | {"receiver": "pod office/crawler-y"}
    cli_world.put_vpn(api, forwardedPort=has, conditions=[FORWARDED])
    assert kubectl.piavpn("port", "home") == Said(
        0,
        "Port:        45678 at 198.18.11.1\n"
        "Receiver:    pod office/crawler-y\n"
        "Forwarded:   yes: Port 45678 (TCP and UDP) goes to 10.100.0.10:45678.\n"
        "Last bound:  2026-11-23T11:57:00Z (3m ago)\n"
        "Expires:     2027-01-20T12:00:00Z (in 58d)\n",
    )


def test_a_labelled_pod_that_waits_for_its_first_port_is_shown(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_receiving_pod(api, "crawler-x")
    cli_world.put_vpn(api)
    said = kubectl.piavpn("port", "home")
    assert said.code == 1
    assert said.out.startswith("Port:        none yet at 198.18.11.1\nReceiver:    pod office/")


def test_a_port_that_is_not_forwarded_ends_with_1_and_its_reason(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_port(api)
    why = "us_chicago forwards no port: choose another region."
    off = condition("PortForwarded", "False", "PortForwardingNotOffered", why)
    cli_world.put_vpn(api, exitAddress=None, conditions=[off])
    said = kubectl.piavpn("port", "home")
    assert said.code == 1
    assert f"Forwarded:   no: {why}\n" in said.out


@pytest.mark.parametrize(("found", "code"), [(OPEN, 0), (CLOSED, 1)])
def test_a_check_is_asked_for_and_its_answer_shown(
    api: kube_server.Api, kubectl: Kubectl, found: dict[str, Any], code: int
) -> None:
    put_port(api, check=True)
    put_event(api, "before")

    def answer() -> None:
        put_port(api, found, check=True)
        put_event(api, "now")

    cli_world.on_patch(api, "piavpns", answer)
    said = kubectl.piavpn("port", "home", "--check")
    assert said.code == code
    assert said.out.splitlines()[-1] == "Open:        {}: {}".format(
        "no" if code else "yes", found["message"]
    )
    annotations = api.get(kube.PIA_VPNS, "home")["metadata"]["annotations"]
    assert annotations == {"piavpn.dev/check-port-requested-at": "2026-11-23T12:00:00Z"}


def put_event(api: kube_server.Api, name: str) -> None:
    about = {"kind": "PiaVpn", "name": "home"}
    api.put(kube.EVENTS, name, "default", involvedObject=about, reason="PortChecked")


def test_without_anybody_to_ask_nothing_is_asked(api: kube_server.Api, kubectl: Kubectl) -> None:
    put_port(api)
    assert kubectl.piavpn("port", "home", "--check") == Said(
        2,
        "",
        "error: PiaVpn home names nobody outside who could be asked: set "
        "spec.endpoints.portCheckURL, as to https://ifconfig.co/port/{port}\n",
    )
    assert api.changes == []


def test_the_same_is_said_to_programs(api: kube_server.Api, kubectl: Kubectl) -> None:
    put_port(api, OPEN)
    said = json.loads(kubectl.piavpn("port", "-o", "json").out)
    assert (said["port"], said["exitAddress"], said["receiver"]) == (
        45678,
        "198.18.11.1",
        "media/torrent",
    )
    assert said["open"] == OPEN
