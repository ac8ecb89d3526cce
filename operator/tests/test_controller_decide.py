"""What one pass makes of what it saw: whole decisions."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
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
    NOW,
    condition,
    pod,
    seen,
    service,
    service_pod,
    vpn,
)

from piavpn.api import piavpns
from piavpn.api.conditions import PiaVpnCondition, Status
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


# Logins


def failed(reason: str, retry: Any) -> model.Account:
    return model.Account(
        "print-1", has_token=False, failure=model.Failure(reason, "what PIA said", retry)
    )


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("BadCredentials", "what PIA said"),
        ("RateLimited", "what PIA said: the next login is made at 2026-11-23T12:10:00Z"),
        ("Unreachable", "what PIA said"),
    ],
)
def test_after_a_failed_login_pia_is_left_alone_until_the_retry_s_time(
    reason: str, message: str
) -> None:
    found = decide.decide(seen(account=failed(reason, LATER), gateway_pod=pod(ready=False)))
    assert found == fine_but(
        {AUTHENTICATED: false(reason, message), READY: false(reason, message)},
        requeue_seconds=300.0,
    )


def test_the_next_pass_is_due_when_the_retry_is() -> None:
    soon = failed("Unreachable", NOW + timedelta(seconds=20))
    assert decide.decide(seen(account=soon)).requeue_seconds == 20


def test_the_login_is_repeated_when_its_time_has_come() -> None:
    found = decide.decide(seen(account=failed("RateLimited", NOW)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[AUTHENTICATED].reason == "RateLimited"


def test_a_login_does_not_wait_for_a_time_that_a_wrong_clock_set() -> None:
    waiting = decide.decide(seen(account=failed("RateLimited", NOW + timedelta(days=1))))
    assert waiting.errands == NOTHING
    found = decide.decide(seen(account=failed("RateLimited", NOW + timedelta(days=1, seconds=1))))
    assert found.errands == model.Errands(login=True)


def test_nor_does_the_list() -> None:
    years = NOW + timedelta(days=2000)
    failure = model.Failure("Unreachable", "no answer", years)
    for known in (
        dataclasses.replace(KNOWN_LIST, refresh_time=years),
        dataclasses.replace(KNOWN_LIST, refresh_time=None, failure=failure),
    ):
        assert decide.decide(seen(server_list=known)).errands == model.Errands(fetch_list=True)


def test_a_tunnel_that_works_stays_ready_though_a_login_failed() -> None:
    found = decide.decide(seen(account=failed("BadCredentials", LATER)))
    assert found.verdicts[READY] == true("Ready")


# Tokens that PIA's servers reject


def rejected(since: Any, kind: PiaVpnCondition = PiaVpnCondition.REGISTERED) -> piavpns.PiaVpn:
    told = dataclasses.replace(
        condition(kind, Status.FALSE, "TokenRejected"), last_transition_time=since
    )
    status = piavpns.PiaVpnStatus(network=NETWORK, conditions=(told,))
    return vpn(status=status)


@pytest.mark.parametrize("kind", [PiaVpnCondition.REGISTERED, PiaVpnCondition.PORT_FORWARDED])
def test_a_rejected_token_is_followed_by_one_login(kind: PiaVpnCondition) -> None:
    issued = EARLIER
    found = decide.decide(seen(vpn=rejected(issued + timedelta(minutes=1), kind)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[AUTHENTICATED] == unknown("LoggingIn", "PIA rejected the token")


def test_a_token_that_a_renewal_finds_rejected_is_followed_by_a_login_while_the_tunnel_is_up() -> (
    None
):
    renewing = condition(PiaVpnCondition.REGISTERED, Status.TRUE, "TokenRejected")
    up = condition(PiaVpnCondition.TUNNEL_UP)
    status = piavpns.PiaVpnStatus(network=NETWORK, conditions=(renewing, up))
    found = decide.decide(seen(vpn=vpn(status=status)))
    assert found.errands == model.Errands(login=True)
    assert found.verdicts[READY] == true("Ready")


def test_a_new_token_that_is_rejected_too_is_not_followed_by_another_login_at_once() -> None:
    issued = NOW - timedelta(minutes=1)
    account = dataclasses.replace(ACCOUNT, token_time=issued)
    before_the_login = issued - timedelta(minutes=1)
    found = decide.decide(seen(vpn=rejected(since=before_the_login), account=account))
    assert found.errands == NOTHING
    assert found.verdicts[AUTHENTICATED] == true("LoggedIn")


def test_gateways_that_still_use_the_last_token_or_whose_clock_is_ahead_cause_no_login() -> None:
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(seconds=29))
    found = decide.decide(seen(vpn=rejected(since=NOW + timedelta(minutes=5)), account=account))
    assert found.errands == NOTHING
    assert found.requeue_seconds == 1, "when it is told apart from a refusal of the new one"
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(seconds=30))
    found = decide.decide(seen(vpn=rejected(since=NOW + timedelta(minutes=5)), account=account))
    assert found.errands == model.Errands(login=True)


def test_it_is_followed_by_one_after_15_minutes() -> None:
    account = dataclasses.replace(ACCOUNT, token_time=NOW - timedelta(minutes=15))
    found = decide.decide(seen(vpn=rejected(since=EARLIER), account=account))
    assert found.errands == model.Errands(login=True)


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
        {"account": failed("BadCredentials", EARLIER)},
        {"server_list": dataclasses.replace(KNOWN_LIST, refresh_time=EARLIER)},
        {
            "account": failed("BadCredentials", EARLIER),
            "credentials": model.CredentialsProblem("CredentialsNotFound", "there is none"),
        },
    ],
)
def test_what_is_overdue_makes_no_pass_after_the_other(overdue: dict[str, Any]) -> None:
    assert decide.decide(seen(**overdue)).requeue_seconds == 300
