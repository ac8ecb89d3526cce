"""Condition Ready: the first thing that holds it up, in the words of who knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from controller_samples import (
    IP,
    NETWORK,
    NOW,
    SUBNET,
    WORKING,
    condition,
    holding,
    pod,
    service,
    service_pod,
    vpn,
)

from piavpn.api import piavpns
from piavpn.api.conditions import Condition, PiaVpnCondition, ServiceCondition, Status
from piavpn.controller import model, readiness

FINE = {
    PiaVpnCondition.GATEWAY_ATTACHED: model.Verdict(Status.TRUE, "Attached"),
    PiaVpnCondition.ACCEPTED: model.Verdict(Status.TRUE, "Accepted"),
    PiaVpnCondition.AUTHENTICATED: model.Verdict(Status.TRUE, "LoggedIn"),
    PiaVpnCondition.SERVERS_KNOWN: model.Verdict(Status.TRUE, "ServersFound"),
}
REGISTERED, TUNNEL_UP = WORKING
READY = model.Verdict(Status.TRUE, "Ready")


def false(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.FALSE, reason, message)


def unknown(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.UNKNOWN, reason, message)


SILENT = unknown("NodeAgentSilent", "the agent of node n1 was not heard of")


def fine_but_attached(verdict: model.Verdict) -> dict[PiaVpnCondition, model.Verdict]:
    return {**FINE, PiaVpnCondition.GATEWAY_ATTACHED: verdict}


def with_conditions(*found: Condition) -> piavpns.PiaVpn:
    return vpn(status=piavpns.PiaVpnStatus(network=NETWORK, conditions=found))


# Of a PiaVpn


def test_a_vpn_whose_gateway_is_ready_and_tunnel_up_is_ready() -> None:
    assert readiness.of_vpn(vpn(status=holding(SUBNET)), FINE, pod()) == READY


def test_it_says_through_which_server() -> None:
    session = piavpns.Session(
        region="swiss",
        server="zurich401",
        server_address=IP("198.18.1.1"),
        link="piaw0",
        peer_address=IP("10.5.0.2"),
        public_key="key",
        registered_time=NOW,
    )
    through = vpn(status=dataclasses.replace(holding(SUBNET), session=session))
    found = readiness.of_vpn(through, FINE, pod())
    assert found == dataclasses.replace(READY, message="through zurich401 (198.18.1.1) in swiss")


def test_what_is_not_accepted_is_not_ready_though_packets_may_still_flow() -> None:
    refused = false("CredentialsNotFound", "there is no Secret")
    verdicts = FINE | {PiaVpnCondition.ACCEPTED: refused}
    assert readiness.of_vpn(vpn(status=holding(SUBNET)), verdicts, pod()) == refused


@pytest.mark.parametrize("kind", [PiaVpnCondition.AUTHENTICATED, PiaVpnCondition.SERVERS_KNOWN])
def test_a_failure_at_pia_holds_up_a_gateway_that_is_not_ready(kind: PiaVpnCondition) -> None:
    refused = false("Unreachable", "no answer")
    found = readiness.of_vpn(vpn(), FINE | {kind: refused}, None)
    assert found == refused


@pytest.mark.parametrize("kind", [PiaVpnCondition.AUTHENTICATED, PiaVpnCondition.SERVERS_KNOWN])
def test_a_failure_at_pia_does_not_count_while_packets_flow(kind: PiaVpnCondition) -> None:
    verdicts = FINE | {kind: false("Unreachable", "no answer")}
    assert readiness.of_vpn(vpn(status=holding(SUBNET)), verdicts, pod()) == READY


@pytest.mark.parametrize(
    ("gateway", "message"),
    [
        (None, "the gateway's pod does not exist yet"),
        (pod(deleting=True), "the gateway's pod is being replaced"),
        (pod(phase="Pending", ready=False), "the gateway's pod is starting"),
    ],
)
def test_a_gateway_that_does_not_run_is_told_of_whatever_old_conditions_say(
    gateway: model.Object | None, message: str
) -> None:
    found = readiness.of_vpn(vpn(status=holding(SUBNET)), FINE, gateway)
    assert found == false("GatewayNotRunning", message)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), false("NotReported", "Registered was not reported yet")),
        ((REGISTERED,), false("NotReported", "TunnelUp was not reported yet")),
        (
            (condition("Registered", Status.UNKNOWN, "Registering"), TUNNEL_UP),
            false("Registering"),
        ),
        (
            (REGISTERED, condition("TunnelUp", Status.FALSE, "Dead", "no packets")),
            false("Dead", "no packets"),
        ),
        (WORKING, false("GatewayNotRunning", "the gateway is not ready yet")),
    ],
)
def test_while_the_gateway_starts_the_first_missing_step_is_told(
    conditions: tuple[Condition, ...], expected: model.Verdict
) -> None:
    assert readiness.of_vpn(with_conditions(*conditions), FINE, pod(ready=False)) == expected


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("attached", "expected"),
    [
        (false("LockFailed", "the lock"), false("LockFailed", "the lock")),
        (unknown("NotReported", "nothing said"), false("NotReported", "nothing said")),
        (SILENT, SILENT),
    ],
)
def test_a_gateway_needs_the_node_agent_s_word_and_nobody_knows_while_that_is_silent(
    attached: model.Verdict, expected: model.Verdict, *, ready: bool
) -> None:
    found = readiness.of_vpn(
        with_conditions(*WORKING), fine_but_attached(attached), pod(ready=ready)
    )
    assert found == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((REGISTERED,), false("NotReported", "TunnelUp was not reported yet")),
        ((condition("TunnelUp", Status.UNKNOWN, "Stale", "no news"),), false("Stale", "no news")),
    ],
)
def test_a_gateway_that_calls_itself_ready_needs_a_tunnel(
    conditions: tuple[Condition, ...], expected: model.Verdict
) -> None:
    assert readiness.of_vpn(with_conditions(*conditions), FINE, pod()) == expected


# Of a service

CONFINED = {ServiceCondition.CONFINED: model.Verdict(Status.TRUE, "Attached")}


def of_service(
    vpn_ready: model.Verdict,
    service_pod: model.Object | None,
    told: Mapping[ServiceCondition, model.Verdict] = CONFINED,
) -> model.Verdict:
    return readiness.of_service(service(), vpn_ready, told, service_pod)


def test_a_service_that_runs_confined_is_ready() -> None:
    assert of_service(READY, service_pod()) == READY


@pytest.mark.parametrize(
    ("vpn_ready", "message"),
    [
        (false("TunnelDown", "no packets"), "PiaVpn home is not ready: no packets"),
        (false("Registering"), "PiaVpn home is not ready: Registering"),
    ],
)
def test_a_service_behind_a_tunnel_that_is_down_is_not_ready(
    vpn_ready: model.Verdict, message: str
) -> None:
    found = of_service(vpn_ready, service_pod())
    assert found == false("VpnNotReady", message)


@pytest.mark.parametrize(
    ("confined", "expected"),
    [
        (unknown("NotReported", "nothing said"), false("NotConfined", "nothing said")),
        (false("LockFailed", "the lock was gone"), false("NotConfined", "the lock was gone")),
        (SILENT, SILENT),
    ],
)
def test_a_service_that_nobody_vouches_for_is_not_ready(
    confined: model.Verdict, expected: model.Verdict
) -> None:
    found = of_service(READY, service_pod(), {ServiceCondition.CONFINED: confined})
    assert found == expected


def test_nobody_knows_of_a_service_whose_gateway_s_node_has_a_silent_agent() -> None:
    assert of_service(SILENT, service_pod()) == SILENT


def test_nobody_knows_of_a_pod_that_may_wait_for_a_silent_agent() -> None:
    told = {ServiceCondition.CONFINED: SILENT}
    assert of_service(READY, service_pod(ready=False), told) == SILENT


def waiting(name: str, reason: str, message: str | None = None) -> dict[str, Any]:
    state = {"reason": reason} | ({"message": message} if message else {})
    return {"name": name, "state": {"waiting": state}}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({}, "the pod is starting"),
        ({"phase": "Running"}, "the pod is starting"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "no node fits"}
                ]
            },
            "the pod cannot be scheduled: no node fits",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Gated"}]},
            "the pod cannot be scheduled: Gated",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "disk is full"},
            "the pod failed: Evicted: disk is full",
        ),
        (
            {"containerStatuses": [waiting("app", "ErrImagePull", "no such image")]},
            "the pod waits in container app: ErrImagePull no such image",
        ),
        (
            {"initContainerStatuses": [waiting("piavpn-gate", "CrashLoopBackOff")]},
            "the pod waits in container piavpn-gate: CrashLoopBackOff",
        ),
        (
            {
                "initContainerStatuses": [{"name": "piavpn-gate", "state": {"running": {}}}],
                "containerStatuses": [waiting("app", "PodInitializing")],
            },
            "the pod waits in its gate: see the logs of container piavpn-gate",
        ),
        (
            {
                "initContainerStatuses": [{"name": "piavpn-gate", "state": {"running": {}}}],
                "conditions": [
                    {
                        "type": "piavpn.dev/GatePassed",
                        "status": "False",
                        "reason": "Waiting",
                        "message": "there is no default route yet",
                    }
                ],
            },
            "the pod waits in its gate: there is no default route yet",
        ),
        ({"containerStatuses": [waiting("app", "ContainerCreating")]}, "the pod is starting"),
    ],
)
def test_a_pod_s_trouble_is_told_in_the_words_of_who_has_it(
    status: Mapping[str, Any], message: str
) -> None:
    stuck = service_pod() | {"status": dict(status)}
    found = of_service(READY, stuck)
    assert found == false("PodNotReady", message)


def test_a_pod_that_does_not_exist_is_told_of() -> None:
    found = of_service(READY, None)
    assert found == false("PodNotReady", "the pod does not exist yet")


def test_a_pod_that_is_ready_and_going_away_is_not_ready() -> None:
    found = of_service(READY, service_pod(deleting=True))
    assert found == false("PodNotReady", "the pod is being replaced")


@pytest.mark.parametrize("annotations", [{}, {"piavpn.dev/address": "none of yours"}])
def test_a_pod_without_a_sensible_annotation_holds_no_address(annotations: dict[str, str]) -> None:
    assert readiness.pod_address(pod(annotations=annotations)) is None


def test_a_pod_holds_the_address_that_it_was_made_for() -> None:
    assert readiness.pod_address(service_pod("10.100.0.10")) == IP("10.100.0.10")
