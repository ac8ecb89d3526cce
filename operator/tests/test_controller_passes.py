"""Whole passes: what the operator makes of a cluster and of PIA, with its manifest's rights."""

from __future__ import annotations

import json

import kube_server
import pytest
from controller_world import (
    ACCOUNT,
    GATEWAY,
    NAMESPACE,
    PASSWORD,
    TOKEN,
    World,
    eventually,
)
from kube_calls import Call
from pia_server import Reply

from piavpn import kube


def changes_after_another_pass(world: World, *vpns: str) -> list[Call]:
    """Return what the pass changes, and the statuses that it writes though they are so already."""
    changed, called = len(world.api.changes), len(world.api.calls)
    world.pass_over(*vpns)
    written = [call for call in world.api.calls[called:] if call.resource.endswith("/status")]
    return [*world.api.changes[changed:], *written]


# A start


def test_a_vpn_gets_a_gateway_a_token_and_its_servers(tunnel: World) -> None:
    account = tunnel.secret(ACCOUNT)
    assert set(account) == {"fingerprint", "login", "account", "token", "tokenTime"}
    assert account["token"] == TOKEN
    config = tunnel.api.get(kube.CONFIG_MAPS, GATEWAY, NAMESPACE)["data"]["config.json"]
    assert "198.18.1.1" in config
    vpn = tunnel.api.get(kube.PIA_VPNS, "home")
    assert vpn["status"]["network"]["subnet"] == "10.100.0.0/24"
    assert tunnel.pia.logins == 1


def test_an_app_gets_a_stateful_set_a_service_and_an_address(app: World) -> None:
    made = app.api.get(kube.STATEFUL_SETS, "web", "media")
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    status = app.api.get(kube.VPN_SERVICE_CONTAINERS, "web", "media")["status"]
    assert status["address"] == annotations["piavpn.dev/address"] == "10.100.0.10"
    assert app.api.get(kube.SERVICES, "web", "media")["spec"]["selector"] == {
        "piavpn.dev/service": "web"
    }
    assert app.api.get(kube.PIA_VPNS, "home")["status"]["services"] == 1


def test_an_app_gets_a_policy_with_the_cluster_s_ranges_and_nodes(app: World) -> None:
    (rule,) = app.api.get(kube.NETWORK_POLICIES, "piavpn-web", "media")["spec"]["egress"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer] == [
        "10.96.0.0/16",
        "10.244.0.0/24",
        "172.18.0.2/32",
    ]


def test_a_policy_that_is_refused_keeps_no_app_from_being_made(tunnel: World) -> None:
    tunnel.api.fault = lambda call: (
        kube_server.RefusalError(403, "no")
        if (call.resource, call.verb) == ("networkpolicies", "patch")
        else None
    )
    tunnel.service()
    tunnel.pass_over("home")
    assert "web" in tunnel.names_of(kube.STATEFUL_SETS)
    assert "web" in tunnel.names_of(kube.SERVICES)


def test_the_password_is_nowhere_but_in_its_secret(app: World) -> None:
    kinds = (kube.EVENTS, kube.CONFIG_MAPS, kube.STATEFUL_SETS, kube.PIA_VPNS, kube.PODS)
    everything = str([app.api.all(kind) for kind in kinds])
    account = str(app.secret(ACCOUNT))
    assert PASSWORD not in everything + account
    assert TOKEN not in everything


def test_neither_secret_is_in_the_log_of_a_login_that_fails(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.pia.login = Reply(401, f"no {PASSWORD} for {TOKEN}")
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("False", "BadCredentials"))
    assert "PIA refuses the user name" in caplog.text
    assert PASSWORD not in caplog.text + str(world.api.all(kube.EVENTS))


# No pass makes another


def test_a_pass_that_finds_nothing_new_writes_nothing(app: World) -> None:
    assert changes_after_another_pass(app) == []


def test_nor_does_one_over_a_vpn_that_is_refused(world: World) -> None:
    world.vpn()
    world.service()
    world.pass_over("home")
    assert world.vpn_condition("Ready") == ("False", "CredentialsNotFound")
    assert changes_after_another_pass(world) == []


def test_nor_does_one_over_services_without_a_vpn(world: World) -> None:
    world.service(vpn="nowhere")
    world.pass_over("nowhere")
    assert world.service_condition("Accepted") == ("False", "VpnNotFound")
    assert changes_after_another_pass(world, "nowhere") == []


def test_each_transition_is_one_event(app: World) -> None:
    events = app.api.all(kube.EVENTS)
    told = [(e["involvedObject"]["name"], e["type"], e["reason"]) for e in events]
    assert told.count(("home", "Normal", "LoggedIn")) == 1
    assert told.count(("web", "Normal", "Accepted")) == 1
    assert told.count(("web", "Normal", "Ready")) == 1


# The gateway's mounts


def test_a_gateway_s_pod_is_touched_once_when_its_inputs_change(tunnel: World) -> None:
    def inputs() -> str:
        annotations = tunnel.api.get(kube.PODS, f"{GATEWAY}-0", NAMESPACE)["metadata"][
            "annotations"
        ]
        found: str = annotations["piavpn.dev/session-inputs"]
        return found

    before = inputs()
    tunnel.vpn(fallbackLocations=["nowhere"], endpoints=tunnel_endpoints(tunnel, caBundle="PEM"))
    tunnel.loop.wake("home")
    eventually(lambda: inputs() != before)
    eventually(lambda: tunnel.vpn_condition("ServersKnown") == ("False", "UnknownLocation"))
    tunnel.pass_over("home")
    assert changes_after_another_pass(tunnel) == []


def tunnel_endpoints(world: World, **changes: str) -> dict[str, str]:
    known: dict[str, str] = world.api.get(kube.PIA_VPNS, "home")["spec"]["endpoints"]
    return known | changes


def test_a_requested_renewal_is_written_for_the_gateway_and_answered_by_one_event(
    tunnel: World,
) -> None:
    session = {
        "region": "swiss",
        "server": "zurich401",
        "serverAddress": "198.18.1.1",
        "link": "piaw0",
        "peerAddress": "10.5.0.7",
        "publicKey": "our-key",
        "registeredTime": "2026-11-01T12:00:00Z",
    }
    asked = {"piavpn.dev/renew-requested-at": "2026-11-10T14:00:00Z"}
    tunnel.api.put(kube.PIA_VPNS, "home", status={"session": session})
    tunnel.api.put(kube.PIA_VPNS, "home", metadata={"annotations": asked})
    tunnel.pass_over("home", "home")
    config = tunnel.api.get(kube.CONFIG_MAPS, GATEWAY, NAMESPACE)["data"]["config.json"]
    assert json.loads(config)["renewal"] == {"publicKey": "our-key", "time": "2026-11-10T14:00:00Z"}
    told = [event for event in tunnel.api.all(kube.EVENTS) if event["reason"] == "RenewalRequested"]
    assert [event["message"] for event in told] == [
        "the session at zurich401 is renewed at 2026-11-10T14:00:00Z, on request"
    ]


def test_the_app_that_receives_the_forwarded_port_has_it_in_its_status_while_there_is_one(
    app: World,
) -> None:
    port = {"port": 45678, "expiresAt": "2027-01-20T12:00:00Z"}
    app.service(receiveForwardedPort={"protocol": "Both"})
    app.api.put(kube.PIA_VPNS, "home", status={"forwardedPort": port})
    app.pass_over("home")
    told = app.api.get(kube.VPN_SERVICE_CONTAINERS, "web", "media")["status"]
    assert told["forwardedPort"] == 45678
    app.pass_over("home")
    assert changes_after_another_pass(app, "home") == []


def test_failures_of_a_hook_and_its_success_after_them_are_events(tunnel: World) -> None:
    def hook_says(status: str, reason: str, message: str) -> None:
        told = {"type": "piavpn.dev/PortTold", "status": status, "reason": reason}
        since = {"message": message, "lastTransitionTime": kube_server.CREATED}
        tunnel.told(kube.PODS, "web-0", "media", "Ready", "piavpn.dev/Confined")
        conditions = tunnel.api.get(kube.PODS, "web-0", "media")["status"]["conditions"]
        tunnel.api.put(
            kube.PODS, "web-0", "media", status={"conditions": [*conditions, told | since]}
        )
        tunnel.pass_over("home")

    port = {"port": 45678, "expiresAt": "2027-01-24T12:00:00Z"}
    tunnel.api.put(kube.PIA_VPNS, "home", status={"forwardedPort": port})
    tunnel.service(receiveForwardedPort={}, onPortForwarded={"script": "tell"})
    tunnel.pass_over("home")
    tunnel.run_pod("web", "media")
    tunnel.pass_over("home")
    for failures in range(1, 6):
        hook_says("False", "HookFailing", f"port 45678 could not be told in {failures} attempts")
    hook_says("True", "Told", "port 45678 was told after 5 failed attempts")
    assert tunnel.service_condition("PortPropagated") == ("True", "Told")
    events = [
        (event["type"], event["reason"], event["message"])
        for event in tunnel.api.all(kube.EVENTS)
        if event["reason"] in {"HookFailing", "Told"}
    ]
    assert events == [
        (
            "Warning",
            "HookFailing",
            "PortPropagated is False: port 45678 could not be told in 1 attempts",
        ),
        ("Normal", "Told", "PortPropagated is True: port 45678 was told after 5 failed attempts"),
    ]


def test_a_requested_try_of_the_port_is_written_for_the_gateway(tunnel: World) -> None:
    asked = {"piavpn.dev/check-port-requested-at": "2026-11-10T14:00:00+01:00"}
    tunnel.api.put(kube.PIA_VPNS, "home", metadata={"annotations": asked})
    tunnel.pass_over("home")
    config = tunnel.api.get(kube.CONFIG_MAPS, GATEWAY, NAMESPACE)["data"]["config.json"]
    assert json.loads(config)["portCheckRequestedTime"] == "2026-11-10T13:00:00Z"


def test_a_request_to_try_the_port_that_is_no_time_is_told_of(tunnel: World) -> None:
    asked = {"piavpn.dev/check-port-requested-at": "now"}
    tunnel.api.put(kube.PIA_VPNS, "home", metadata={"annotations": asked})
    tunnel.pass_over("home", "home")
    told = [
        event["message"]
        for event in tunnel.api.all(kube.EVENTS)
        if event["reason"] == "PortCheckRequestInvalid"
    ]
    (message,) = told
    assert message == (
        "'now' in annotation piavpn.dev/check-port-requested-at is no time with a zone, such as "
        "2026-11-23T12:00:00Z: no try was requested"
    )


def test_a_vpn_that_cannot_be_read_is_told_and_keeps_what_it_has(app: World) -> None:
    before = app.api.get(kube.PIA_VPNS, "home")
    spec = {**before["spec"], "network": {"subnet": "ten dot something"}}
    app.api.put(kube.PIA_VPNS, "home", spec=spec)
    app.pass_over("home")
    after = app.api.get(kube.PIA_VPNS, "home")
    assert app.vpn_condition("Accepted") == ("False", "Invalid")
    assert after["status"]["network"] == before["status"]["network"]
    assert app.service_condition("Accepted") == ("False", "VpnNotAccepted")
    assert app.api.get(kube.PODS, "web-0", "media")
    assert changes_after_another_pass(app, "home") == []
