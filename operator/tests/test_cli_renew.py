"""`kubectl piavpn renew`: another session, asked for and waited for."""

from __future__ import annotations

import json

import cli_world
import kube_server
import pytest
from cli_world import SESSION, Kubectl, Said

from piavpn import kube

api, kubectl = cli_world.api, cli_world.kubectl

NEXT = SESSION | {
    "server": "zurich402",
    "serverAddress": "198.18.11.2",
    "publicKey": "YW5vdGhlciBwdWJsaWMga2V5IG9mIG91cnMuLi4uLi4=",
    "registeredTime": "2026-11-23T12:00:02Z",
}


@pytest.fixture(autouse=True)
def _tunnel(api: kube_server.Api) -> None:
    cli_world.put_vpn(api)


def requested_at(api: kube_server.Api) -> str:
    annotations = api.get(kube.PIA_VPNS, "home")["metadata"]["annotations"]
    assert list(annotations) == ["piavpn.dev/renew-requested-at"]
    return str(annotations["piavpn.dev/renew-requested-at"])


def test_a_renewal_is_asked_for_and_not_waited_for(api: kube_server.Api, kubectl: Kubectl) -> None:
    assert kubectl.piavpn("renew", "home") == Said(
        0,
        "PiaVpn home is asked for another session; zurich401 (swiss) stays until that one works\n",
    )
    assert requested_at(api) == "2026-11-23T12:00:00Z"


def test_a_clock_that_is_slow_still_asks_for_a_session_after_the_present_one(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api, session=SESSION | {"registeredTime": "2026-11-23T12:30:00Z"})
    assert kubectl.piavpn("renew", "home").code == 0
    assert requested_at(api) == "2026-11-23T12:30:01Z"


def test_who_waits_is_shown_both_servers_and_exit_addresses(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.on_patch(
        api,
        "piavpns",
        lambda: cli_world.put_vpn(api, session=NEXT, exitAddress="198.18.11.2"),
    )
    assert kubectl.piavpn("renew", "home", "--wait") == Said(
        0,
        "         REGION   SERVER      EXIT ADDRESS\n"
        "before   swiss    zurich401   198.18.11.1\n"
        "now      swiss    zurich402   198.18.11.2\n",
    )


def test_the_same_is_said_to_programs(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.on_patch(
        api,
        "piavpns",
        lambda: cli_world.put_vpn(api, session=NEXT, exitAddress="198.18.11.2"),
    )
    assert json.loads(kubectl.piavpn("renew", "home", "--wait", "-o", "json").out) == {
        "vpn": "home",
        "before": {"region": "swiss", "server": "zurich401", "exitAddress": "198.18.11.1"},
        "now": {"region": "swiss", "server": "zurich402", "exitAddress": "198.18.11.2"},
    }


def test_a_renewal_that_fails_is_told_with_its_reason(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    failing = cli_world.condition("Registered", "True", "RenewalFailing", "zurich402 is silent.")
    cli_world.put_vpn(api, conditions=[failing])
    assert kubectl.piavpn("renew", "home", "--wait", "--timeout", "0") == Said(
        1,
        "",
        "PiaVpn home was not renewed within 0 s, and is asked on: "
        "RenewalFailing: zurich402 is silent.\n",
    )


def test_what_has_no_session_cannot_be_renewed(api: kube_server.Api, kubectl: Kubectl) -> None:
    down = cli_world.condition("Ready", "False", "BadCredentials", "PIA does not know p1234567")
    cli_world.put_vpn(api, session=None, conditions=[down])
    assert kubectl.piavpn("renew", "home") == Said(
        2,
        "",
        "error: PiaVpn home has no session to renew: BadCredentials: PIA does not know p1234567\n",
    )
    assert api.changes == []
