"""What one pass makes of what it saw: whole decisions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from controller_decisions import (
    ACCEPTED,
    ATTACHED,
    AUTHENTICATED,
    FINE,
    NO_POD,
    NOTHING,
    READY,
    SERVERS_KNOWN,
    WITH_POD,
    WITHOUT_POD,
    false,
    fine_but,
    true,
    unknown,
)
from controller_samples import (
    ACCOUNT,
    CLUSTER_CIDRS,
    CONFIG,
    CREDENTIALS,
    EARLIER,
    IP,
    KNOWN_LIST,
    LATER,
    NET,
    NETWORK,
    failed_login,
    seen,
    service,
    service_pod,
    vpn,
)

from piavpn.api import piavpns
from piavpn.controller import decide, model


def test_a_tunnel_that_works_is_left_alone() -> None:
    assert decide.decide(seen()) == FINE


def test_a_new_vpn_gets_its_network_and_gateway_while_login_and_list_are_under_way() -> None:
    new = seen(
        vpn=vpn(),
        account=None,
        server_list=model.ServerListState(),
        gateway_pod=None,
        gateway_config=None,
    )
    assert decide.decide(new) == model.Decision(
        network=NETWORK,
        gateway=dataclasses.replace(CONFIG, servers=()),
        verdicts={
            ACCEPTED: true("Accepted"),
            AUTHENTICATED: unknown("LoggingIn"),
            SERVERS_KNOWN: unknown("FetchingList"),
            ATTACHED: false("NoPod", NO_POD),
            READY: false("GatewayNotRunning", "the gateway's pod does not exist yet"),
        },
        node=None,
        services=(),
        errands=model.Errands(login=True, fetch_list=True),
        requeue_seconds=15.0,
    )


# Credentials


def test_without_a_secret_the_vpn_is_not_accepted_and_pia_is_not_asked() -> None:
    problem = model.CredentialsProblem("CredentialsNotFound", "there is no Secret pia-credentials")
    new = seen(vpn=vpn(), credentials=problem, account=None, server_list=model.ServerListState())
    assert decide.decide(new) == model.Decision(
        network=NETWORK,
        gateway=None,
        verdicts={
            ACCEPTED: false("CredentialsNotFound", "there is no Secret pia-credentials"),
            AUTHENTICATED: unknown(
                "WaitingForCredentials",
                "waiting for the credentials Secret: see condition Accepted",
            ),
            SERVERS_KNOWN: unknown("FetchingList"),
            ATTACHED: true("Attached"),
            READY: false("CredentialsNotFound", "there is no Secret pia-credentials"),
        },
        node="n1",
        services=(),
        errands=NOTHING,
        requeue_seconds=300.0,
    )


def test_its_services_are_told_which_vpn_is_not_accepted_and_why() -> None:
    problem = model.CredentialsProblem("CredentialsNotFound", "there is no Secret pia-credentials")
    app = service(address="10.100.0.10")
    found = decide.decide(seen(credentials=problem, services=(app,)))
    refusal = false(
        "VpnNotAccepted", "PiaVpn home is not accepted: there is no Secret pia-credentials"
    )
    assert found.services == (
        model.ServiceDecision(app, IP("10.100.0.10"), refusal, refusal, told=WITHOUT_POD),
    )


def test_a_secret_without_the_password_s_key_is_told_of() -> None:
    problem = model.CredentialsProblem("CredentialsIncomplete", "Secret x has no password")
    found = decide.decide(seen(credentials=problem))
    assert found.verdicts[ACCEPTED] == false("CredentialsIncomplete", "Secret x has no password")


def test_changed_credentials_are_tried_at_once_whatever_the_old_ones_met_with() -> None:
    locked_out = model.Failure("RateLimited", "PIA takes no login", LATER)
    old = dataclasses.replace(ACCOUNT, failure=locked_out)
    changed = dataclasses.replace(CREDENTIALS, fingerprint="print-2")
    found = decide.decide(seen(credentials=changed, account=old))
    assert found == fine_but(
        {AUTHENTICATED: unknown("LoggingIn")},
        errands=model.Errands(login=True),
        requeue_seconds=300.0,
    )


# Subnets


def test_a_vpn_whose_subnet_overlaps_gets_no_gateway_and_asks_nothing_of_pia() -> None:
    mine = vpn(subnet=NET("10.244.9.0/24"))
    found = decide.decide(seen(vpn=mine, account=None, gateway_pod=None))
    assert (found.network, found.gateway, found.errands) == (None, None, NOTHING)
    assert found.verdicts[ACCEPTED].reason == "SubnetOverlaps"
    assert found.verdicts[READY] == found.verdicts[ACCEPTED]


def test_a_vpn_that_waits_for_the_pods_of_another_looks_again_soon() -> None:
    changes = {"vpn": vpn(subnet=NETWORK.subnet), "pods_elsewhere": {IP("10.100.0.10"): "gone"}}
    assert decide.decide(seen(**changes)).requeue_seconds == 15.0


def test_a_vpn_that_loses_its_subnet_to_the_cluster_keeps_it_in_its_status() -> None:
    grown = (*CLUSTER_CIDRS, NET("10.100.0.0/16"))
    found = decide.decide(seen(cluster_cidrs=grown))
    assert found.network == NETWORK
    assert found.verdicts[ACCEPTED].reason == "SubnetOverlaps"


# Services


def test_a_service_that_runs_confined_behind_a_tunnel_that_works_is_ready() -> None:
    app = service(address="10.100.0.10")
    pods = {("media", "web"): service_pod()}
    assert decide.decide(seen(services=(app,), service_pods=pods)).services == (
        model.ServiceDecision(
            app, IP("10.100.0.10"), true("Accepted"), true("Ready"), told=WITH_POD
        ),
    )


def test_an_address_is_not_given_away_while_the_pod_of_its_gone_service_lives() -> None:
    app = service()
    pods = {("media", "gone"): service_pod("10.100.0.10", deleting=True)}
    (found,) = decide.decide(seen(services=(app,), service_pods=pods)).services
    assert found.address == IP("10.100.0.11")


def test_a_service_whose_name_another_s_object_bears_is_refused_and_holds_no_address() -> None:
    app = service(address="10.100.0.10")
    taken = {("media", "web"): "a StatefulSet"}
    refusal = false(
        "NameTaken",
        "a StatefulSet of this name is not this app's: delete it, or give the "
        "VpnServiceContainer another name",
    )
    assert decide.decide(seen(services=(app,), foreign=taken)).services == (
        model.ServiceDecision(app, None, refusal, refusal, told=WITHOUT_POD),
    )


def test_services_of_a_vpn_that_is_not_there_are_told_its_name_and_keep_their_address() -> None:
    app = service(address="10.100.0.10")
    orphaned = seen(vpn=None, services=(app,))
    refusal = false("VpnNotFound", "there is no PiaVpn named home: create it, or name another one")
    assert decide.decide(orphaned) == model.Decision(
        network=None,
        gateway=None,
        verdicts={},
        node=None,
        services=(
            model.ServiceDecision(app, IP("10.100.0.10"), refusal, refusal, told=WITHOUT_POD),
        ),
        errands=NOTHING,
        requeue_seconds=300.0,
    )


def test_services_of_a_vpn_that_cannot_be_read_are_told_why() -> None:
    app = service()
    invalid = piavpns.Unreadable("home", "uid", 1, "this operator cannot read it: subnet")
    unread = seen(vpn=None, invalid=invalid, services=(app,))
    (found,) = decide.decide(unread).services
    assert found.accepted == false(
        "VpnNotAccepted", "PiaVpn home: this operator cannot read it: subnet"
    )


def test_an_app_whose_node_has_a_silent_agent_is_neither_confined_nor_ready_for_all_we_know() -> (
    None
):
    app = service(address="10.100.0.10")
    pods = {("media", "web"): service_pod()}
    found = decide.decide(
        seen(services=(app,), service_pods=pods, silent_agents={"n1": model.Silence(EARLIER)})
    )
    silent = unknown(
        "NodeAgentSilent",
        "the agent of node n1 was not heard of since 2026-11-23T11:00:00Z: see whether the node is "
        "up, and the piavpn-node-agent pod on it",
    )
    assert (found.verdicts[ATTACHED], found.verdicts[READY]) == (silent, silent)
    (decision,) = found.services
    assert (decision.accepted, decision.ready) == (true("Accepted"), silent)
    assert set(decision.told.values()) == {silent}


# Passes that would make passes


@pytest.mark.parametrize(
    "overdue",
    [
        {"account": failed_login("BadCredentials", EARLIER)},
        {"server_list": dataclasses.replace(KNOWN_LIST, refresh_time=EARLIER)},
        {
            "account": failed_login("BadCredentials", EARLIER),
            "credentials": model.CredentialsProblem("CredentialsNotFound", "there is none"),
        },
    ],
)
def test_what_is_overdue_makes_no_pass_after_the_other(overdue: dict[str, Any]) -> None:
    assert decide.decide(seen(**overdue)).requeue_seconds == 300
