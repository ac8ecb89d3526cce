"""Who receives a VPN's forwarded port, and what apps' pods are told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from controller_decisions import false, true, unknown
from controller_samples import CONFIG, EARLIER, IP, SUBNET, at, holding, seen, service, vpn

from piavpn.api import gateway_config, piavpns, protocols, vpnapps
from piavpn.api.conditions import ServiceCondition
from piavpn.controller import decide, model, network

PORT = piavpns.ForwardedPort(45678, EARLIER, EARLIER)
SESSION = at("198.18.1.1").status.session
BOUND = vpn(status=dataclasses.replace(holding(SUBNET), forwarded_port=PORT, session=SESSION))
RECEIVES = vpnapps.ReceiveForwardedPort()
SCRIPT = vpnapps.OnPortForwarded(script="tell $PORT")


def receiving(name: str, address: str, *, age: int = 0, **spec: Any) -> vpnapps.VpnServiceContainer:
    made = service(name, address=address, age=age)
    wanted = {"receive_forwarded_port": RECEIVES} | spec
    return dataclasses.replace(made, spec=dataclasses.replace(made.spec, **wanted))


def app_pod(name: str, *, annotations: dict[str, str] | None = None, **status: Any) -> model.Object:
    running = [{"name": "app", "state": {"running": {"startedAt": "2026-11-23T11:00:00Z"}}}]
    return {
        "metadata": {
            "name": f"{name}-0",
            "namespace": "media",
            "uid": f"uid-of-{name}-0",
            "annotations": {"piavpn.dev/address": "10.100.0.10"} | (annotations or {}),
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [], "containerStatuses": running} | status,
    }


def told_by_agent(status: str, reason: str, message: str) -> list[dict[str, str]]:
    kind = "piavpn.dev/PortTold"
    return [{"type": kind, "status": status, "reason": reason, "message": message}]


def by_name(decision: model.Decision) -> dict[str, model.ServiceDecision]:
    return {each.service.name: each for each in decision.services}


def forwarding(decision: model.Decision) -> gateway_config.PortForwarding | None:
    assert decision.gateway is not None
    return decision.gateway.port_forwarding


def to(name: str, address: str) -> gateway_config.PortForwarding:
    return gateway_config.PortForwarding(IP(address), receiver=f"media/{name}")


def propagated(**changes: Any) -> model.Verdict:
    (only,) = decide.decide(seen(vpn=BOUND, **changes)).services
    return only.told[ServiceCondition.PORT_PROPAGATED]


def test_without_a_receiver_the_gateway_is_told_to_forward_nothing() -> None:
    decision = decide.decide(seen(services=(service(),)))
    assert forwarding(decision) is None
    assert decision.services[0].announced == {}


def test_the_first_receiver_has_the_port() -> None:
    fixed = vpnapps.ReceiveForwardedPort(6881, protocols.ForwardedProtocol.UDP)
    app = receiving("torrent", "10.100.0.10", receive_forwarded_port=fixed)
    decision = decide.decide(seen(services=(service(address="10.100.0.11"), app)))
    assert forwarding(decision) == gateway_config.PortForwarding(
        IP("10.100.0.10"), protocols.ForwardedProtocol.UDP, 6881, "media/torrent"
    )


def test_a_second_receiver_is_refused_by_the_first_one_s_name_and_keeps_its_address() -> None:
    older = receiving("older", "10.100.0.10", age=60)
    newer = receiving("newer", "10.100.0.11")
    decided = by_name(decide.decide(seen(vpn=BOUND, services=(newer, older))))
    assert decided["older"].accepted.holds
    assert (decided["older"].forwarded_port, decided["newer"].forwarded_port) == (45678, None)
    refused = decided["newer"]
    assert (
        refused.accepted
        == refused.ready
        == false(
            "PortReceiverTaken",
            "media/older receives the forwarded port of PiaVpn home: this app takes over when that "
            "one goes or receives none; or remove spec.receiveForwardedPort here",
        )
    )
    assert refused.address == IP("10.100.0.11")


def test_who_has_the_port_keeps_it_though_an_older_app_wants_it_now() -> None:
    older = receiving("older", "10.100.0.10", age=60)
    newer = receiving("newer", "10.100.0.11")
    config = dataclasses.replace(CONFIG, port_forwarding=to("newer", "10.100.0.11"))
    decision = decide.decide(seen(services=(older, newer), gateway_config=config))
    assert by_name(decision)["newer"].accepted.holds
    assert by_name(decision)["older"].accepted.reason == "PortReceiverTaken"
    alone = decide.decide(seen(services=(older,), gateway_config=config))
    assert by_name(alone)["older"].accepted.holds
    assert forwarding(alone) == to("older", "10.100.0.10")


def test_who_has_the_port_keeps_it_though_its_address_changes() -> None:
    older = receiving("older", "10.100.0.10", age=60)
    newer = receiving("newer", "10.100.0.11", ip=IP("10.100.0.77"))
    config = dataclasses.replace(CONFIG, port_forwarding=to("newer", "10.100.0.11"))
    decision = decide.decide(seen(services=(older, newer), gateway_config=config))
    assert forwarding(decision) == to("newer", "10.100.0.77")
    assert by_name(decision)["older"].accepted.reason == "PortReceiverTaken"


def test_nobody_has_the_port_for_the_address_of_who_had_it() -> None:
    older = receiving("older", "10.100.0.10", age=60)
    newer = receiving("newer", "10.100.0.11")
    config = dataclasses.replace(CONFIG, port_forwarding=to("gone", "10.100.0.11"))
    decision = decide.decide(seen(services=(older, newer), gateway_config=config))
    assert forwarding(decision) == to("older", "10.100.0.10")


def test_an_app_without_an_address_of_its_own_does_not_get_the_port() -> None:
    refused = receiving("older", "10.100.0.10", age=60, ip=IP("192.0.2.1"))
    fine = receiving("newer", "10.100.0.11")
    decision = decide.decide(seen(services=(refused, fine)))
    assert forwarding(decision) == to("newer", "10.100.0.11")


def test_the_receiver_s_pod_is_told_port_exit_address_script_and_its_app_s_start() -> None:
    app = receiving("torrent", "10.100.0.10", on_port_forwarded=SCRIPT)
    pods = {network.key(app): app_pod("torrent")}
    (only,) = decide.decide(seen(vpn=BOUND, services=(app,), service_pods=pods)).services
    assert only.announced == {
        "piavpn.dev/forwarded-port": "45678",
        "piavpn.dev/exit-address": "198.18.1.1",
        "piavpn.dev/on-port-forwarded": "tell $PORT",
        "piavpn.dev/app-started": "2026-11-23T11:00:00Z",
    }


def test_the_exit_address_is_the_one_that_the_internet_sees_where_that_is_known() -> None:
    app = receiving("torrent", "10.100.0.10")
    status = dataclasses.replace(BOUND.status, exit_address=IP("198.18.1.77"))
    (only,) = decide.decide(seen(vpn=vpn(status=status), services=(app,))).services
    assert only.announced["piavpn.dev/exit-address"] == "198.18.1.77"


def test_a_port_that_is_not_known_for_a_while_stays_with_the_app() -> None:
    app = receiving("torrent", "10.100.0.10")
    (only,) = decide.decide(seen(services=(app,))).services
    assert only.announced == {}


def test_an_app_that_receives_none_any_more_forgets_its_port() -> None:
    hook = vpnapps.OnExitAddressChanged("echo")
    app = receiving(
        "torrent", "10.100.0.10", receive_forwarded_port=None, on_exit_address_changed=hook
    )
    (only,) = decide.decide(seen(vpn=BOUND, services=(app,))).services
    assert only.announced == {
        "piavpn.dev/forwarded-port": None,
        "piavpn.dev/exit-address": "198.18.1.1",
        "piavpn.dev/on-exit-address-changed": "echo",
    }


def test_without_a_port_nothing_can_be_propagated() -> None:
    app = receiving("torrent", "10.100.0.10")
    (only,) = decide.decide(seen(services=(app,))).services
    assert only.told[ServiceCondition.PORT_PROPAGATED] == unknown(
        "NoPort", "PIA forwards no port yet: see condition PortForwarded of PiaVpn home"
    )


@pytest.mark.parametrize("annotations", [{}, {"piavpn.dev/forwarded-port": "23456"}])
def test_a_port_that_the_pod_does_not_show_yet_is_being_told(annotations: dict[str, str]) -> None:
    app = receiving("torrent", "10.100.0.10")
    pods = {network.key(app): app_pod("torrent", annotations=annotations)}
    told = propagated(services=(app,), service_pods=pods)
    assert told == false("Telling", "the app is being told port 45678")


def test_an_app_without_a_hook_has_its_port_in_a_file() -> None:
    app = receiving("torrent", "10.100.0.10")
    pod = app_pod("torrent", annotations={"piavpn.dev/forwarded-port": "45678"})
    told = propagated(services=(app,), service_pods={network.key(app): pod})
    assert told == true("InFile", "port 45678 is in /run/piavpn/forwarded-port of the app")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            ("True", "Told", "port 45678 was told after 5 failed attempts"),
            true("Told", "port 45678 was told after 5 failed attempts"),
        ),
        (
            ("False", "HookFailing", "port 45678 could not be told"),
            false("HookFailing", "port 45678 could not be told"),
        ),
        (
            ("True", "Told", "port 23456 was told"),
            false("Telling", "the app is being told port 45678"),
        ),
    ],
)
def test_what_the_hook_says_of_this_port_counts(
    said: tuple[str, str, str], expected: model.Verdict
) -> None:
    app = receiving("torrent", "10.100.0.10", on_port_forwarded=SCRIPT)
    annotations = {"piavpn.dev/forwarded-port": "45678"}
    pod = app_pod("torrent", annotations=annotations, conditions=told_by_agent(*said))
    assert propagated(services=(app,), service_pods={network.key(app): pod}) == expected


def test_what_a_hook_said_proves_nothing_once_the_node_agent_is_silent() -> None:
    app = receiving("torrent", "10.100.0.10", on_port_forwarded=SCRIPT)
    annotations = {"piavpn.dev/forwarded-port": "45678"}
    said = told_by_agent("True", "Told", "port 45678 was told")
    pod = app_pod("torrent", annotations=annotations, conditions=said)
    told = propagated(
        services=(app,),
        service_pods={network.key(app): pod},
        silent_agents={"n1": model.Silence(None)},
    )
    assert told.reason == "NodeAgentSilent"
