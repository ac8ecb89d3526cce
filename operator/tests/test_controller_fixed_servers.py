"""Tunnels that do not choose from PIA's list: dedicated IPs, and servers that `spec` names."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from controller_decisions import (
    ACCEPTED,
    AUTHENTICATED,
    NOTHING,
    SERVERS_KNOWN,
    false,
    true,
    unknown,
)
from controller_samples import ACCOUNT, CONFIG, IP, LATER, NOW, SUBNET, holding, seen, sibling, vpn

from piavpn.api import gateway_config, piavpns
from piavpn.controller import accounts, decide, model
from piavpn.pia import dedicated

MINE = piavpns.WireguardServer("mine", IP("198.18.9.1"))
SPARE = piavpns.WireguardServer("spare", IP("198.18.9.2"), 1338)
CUSTOM_MINE = gateway_config.Server("custom", "mine", IP("198.18.9.1"), 1337)
CUSTOM_SPARE = gateway_config.Server("custom", "spare", IP("198.18.9.2"), 1338)
REF = piavpns.DedicatedIpSecretRef("pia-dip")
FOUND = dedicated.DedicatedIp(
    "active", "de-frankfurt", "frankfurt412", IP("198.18.13.9"), datetime(2027, 1, 1, tzinfo=UTC)
)


def with_spec(**spec: Any) -> piavpns.PiaVpn:
    known = vpn(status=holding(SUBNET))
    return dataclasses.replace(known, spec=dataclasses.replace(known.spec, **spec))


# Servers that `spec` names


def custom(**changes: Any) -> model.Observed:
    endpoints = piavpns.Endpoints(wireguard_servers=(MINE, SPARE))
    nothing_known = model.ServerListState()
    return seen(vpn=with_spec(endpoints=endpoints), server_list=nothing_known, **changes)


def test_named_servers_are_used_in_their_order_without_a_list() -> None:
    found = decide.decide(custom(gateway_config=None))
    assert found.verdicts[SERVERS_KNOWN] == true(
        "ServersFound", "2 of the 2 in spec.endpoints.wireguardServers"
    )
    assert found.gateway == dataclasses.replace(
        CONFIG, servers=(CUSTOM_MINE, CUSTOM_SPARE), locations=("custom",)
    )
    assert found.errands == NOTHING


def test_they_are_shared_among_the_account_s_tunnels_too() -> None:
    found = decide.decide(custom(siblings=(sibling("198.18.9.1", CUSTOM_MINE),)))
    assert found.gateway is not None
    assert found.gateway.servers == (CUSTOM_SPARE,)


# Dedicated IPs


def dedicated_ip(**changes: Any) -> model.Observed:
    known = {"dedicated_token": "DIP0123", "gateway_config": None} | changes
    return seen(vpn=with_spec(dedicated_ip_secret_ref=REF), **known)


def state(**changes: Any) -> model.DedicatedState:
    known = model.DedicatedState(FOUND, refresh_time=NOW + timedelta(hours=1))
    return dataclasses.replace(known, **changes)


def test_the_tunnel_ends_at_the_dedicated_ip_and_nowhere_else() -> None:
    found = decide.decide(dedicated_ip(dedicated=state()))
    assert found.verdicts[SERVERS_KNOWN] == true(
        "ServersFound",
        "dedicated IP 198.18.13.9 at frankfurt412 in de-frankfurt, until 2027-01-01T00:00:00Z",
    )
    region = "dedicated-de-frankfurt"
    server = gateway_config.Server(region, "frankfurt412", IP("198.18.13.9"), 1337)
    assert found.gateway == dataclasses.replace(
        CONFIG, servers=(server,), locations=(region,), dedicated_ip=True
    )
    assert found.errands == NOTHING


def test_pia_is_asked_when_there_is_a_token_to_ask_with() -> None:
    found = decide.decide(dedicated_ip())
    assert found.verdicts[SERVERS_KNOWN] == unknown("LookingUp")
    assert found.errands == model.Errands(look_up=True)
    without = dataclasses.replace(ACCOUNT, has_token=False)
    assert decide.decide(dedicated_ip(account=without)).errands == model.Errands(login=True)


def test_the_gateway_keeps_its_server_until_pia_has_answered_after_a_restart() -> None:
    server = gateway_config.Server("dedicated-x", "frankfurt412", IP("198.18.13.9"), 1337)
    known = dataclasses.replace(
        CONFIG, servers=(server,), locations=("dedicated-x",), dedicated_ip=True
    )
    assert decide.decide(dedicated_ip(gateway_config=known)).gateway == known


def test_a_server_that_takes_the_account_s_token_is_not_tried_with_another() -> None:
    found = decide.decide(dedicated_ip(gateway_config=CONFIG)).gateway
    assert found is not None
    assert found.servers == ()


@pytest.mark.parametrize(
    ("status", "reason"), [("expired", "DedicatedIPExpired"), ("invalid", "DedicatedIPInvalid")]
)
def test_one_that_is_no_more_is_told(status: str, reason: str) -> None:
    gone = state(found=dedicated.DedicatedIp(status))
    assert decide.decide(dedicated_ip(dedicated=gone)).verdicts[SERVERS_KNOWN].reason == reason


def test_an_outage_is_told_and_tried_again_in_time() -> None:
    failure = model.Failure("Unreachable", "no answer", NOW + timedelta(seconds=30))
    away = model.DedicatedState(failure=failure)
    found = decide.decide(dedicated_ip(dedicated=away))
    assert found.verdicts[SERVERS_KNOWN] == false("Unreachable", "no answer")
    assert (found.errands, found.requeue_seconds) == (NOTHING, 30)


def test_a_rejected_account_token_is_followed_by_a_login() -> None:
    failure = model.Failure("TokenRejected", "no more", LATER)
    rejected = model.DedicatedState(failure=failure, rejected=ACCOUNT.token_time)
    found = decide.decide(dedicated_ip(dedicated=rejected))
    assert found.verdicts[AUTHENTICATED] == unknown("LoggingIn", "PIA rejected the token")
    newer = dataclasses.replace(ACCOUNT, token_time=NOW)
    found = decide.decide(dedicated_ip(dedicated=rejected, account=newer))
    assert found.verdicts[AUTHENTICATED] == true("LoggedIn")


def test_a_missing_token_is_answered_with_the_command_that_makes_its_secret() -> None:
    problem = accounts.read_dedicated_token(REF, "piavpn-system", None)
    assert problem == model.CredentialsProblem(
        "DedicatedIPTokenNotFound",
        "Secret pia-dip in namespace piavpn-system is not there: create it with kubectl create "
        "secret generic pia-dip -n piavpn-system --from-literal=token=...",
    )
    found = decide.decide(dedicated_ip(dedicated_token=problem))
    assert found.verdicts[ACCEPTED].reason == "DedicatedIPTokenNotFound"
    assert found.gateway is None


def test_the_token_is_in_no_text_about_what_was_seen() -> None:
    assert "DIP0123" not in repr(dedicated_ip())
