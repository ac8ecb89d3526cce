"""What one pass makes of PIA's server list: whole decisions."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from controller_decisions import (
    FINE,
    READY,
    SERVERS_KNOWN,
    false,
    fine_but,
    true,
    unknown,
)
from controller_samples import (
    AMSTERDAM_401,
    CONFIG,
    EARLIER,
    IP,
    KNOWN_LIST,
    NOW,
    SERVERS,
    SUBNET,
    ZURICH_401,
    ZURICH_402,
    elsewhere,
    holding,
    pod,
    seen,
    vpn,
)

from piavpn.controller import decide, model

# Server lists


def test_a_list_that_cannot_be_had_is_told_of_and_tried_again_in_time() -> None:
    failure = model.Failure("BadSignature", "the list is not PIA's", NOW + timedelta(seconds=15))
    found = decide.decide(
        seen(
            server_list=model.ServerListState(failure=failure),
            gateway_pod=pod(ready=False),
            gateway_config=None,
        )
    )
    assert found == fine_but(
        {
            SERVERS_KNOWN: false("BadSignature", "the list is not PIA's"),
            READY: false("BadSignature", "the list is not PIA's"),
        },
        gateway=dataclasses.replace(CONFIG, servers=()),
        requeue_seconds=15,
    )


def failing_since(reason: str, message: str) -> model.ServerListState:
    failure = model.Failure(reason, message, NOW + timedelta(seconds=15))
    return dataclasses.replace(KNOWN_LIST, failure=failure, refresh_time=EARLIER)


def test_a_list_that_failed_to_be_renewed_goes_on_serving_and_says_how_old_it_is() -> None:
    stale = failing_since("Unreachable", "no answer")
    message = "2 servers in swiss; list of 2026-11-23T11:00:00Z; fetch fails: no answer"
    assert decide.decide(seen(server_list=stale)) == fine_but(
        {SERVERS_KNOWN: true("KeptList", message)}, requeue_seconds=15
    )


def test_what_is_wrong_with_the_location_is_told_before_the_age_of_the_list() -> None:
    stale = failing_since("BadSignature", "the list is not PIA's")
    found = decide.decide(seen(vpn=vpn(location="atlantis"), server_list=stale))
    assert found.verdicts[SERVERS_KNOWN] == false(
        "UnknownLocation",
        "PIA's server list has no region 'atlantis'; list of 2026-11-23T11:00:00Z; fetch fails: "
        "the list is not PIA's",
    )


def test_a_list_is_renewed_when_its_time_has_come() -> None:
    due = dataclasses.replace(KNOWN_LIST, refresh_time=NOW)
    expected = dataclasses.replace(FINE, errands=model.Errands(fetch_list=True))
    assert decide.decide(seen(server_list=due)) == expected


def test_after_a_restart_of_the_operator_the_gateway_keeps_its_servers_until_a_list_is_there() -> (
    None
):
    found = decide.decide(seen(server_list=model.ServerListState()))
    assert found == fine_but(
        {SERVERS_KNOWN: unknown("FetchingList")}, errands=model.Errands(fetch_list=True)
    )
    assert found.gateway == CONFIG


def test_fallbacks_come_after_the_location_in_their_order() -> None:
    mine = vpn(fallbacks=("nl_amsterdam",), status=holding(SUBNET))
    found = decide.decide(seen(vpn=mine))
    assert found == fine_but(
        {SERVERS_KNOWN: true("ServersFound", "3 servers in swiss, nl_amsterdam")},
        gateway=dataclasses.replace(
            CONFIG,
            servers=(ZURICH_401, ZURICH_402, AMSTERDAM_401),
            locations=("swiss", "nl_amsterdam"),
        ),
    )


def test_an_unknown_location_is_refused_with_what_may_be_meant_and_the_gateway_goes_on() -> None:
    mine = vpn(location="amsterdam", status=holding(SUBNET))
    found = decide.decide(seen(vpn=mine, gateway_pod=pod(ready=False)))
    message = "PIA's server list has no region 'amsterdam'; did you mean nl_amsterdam?"
    assert found == fine_but(
        {
            SERVERS_KNOWN: false("UnknownLocation", message),
            READY: false("UnknownLocation", message),
        },
        gateway=dataclasses.replace(CONFIG, locations=("amsterdam",)),
    )


def test_an_unknown_location_with_a_good_fallback_says_what_is_used_meanwhile() -> None:
    mine = vpn(location="atlantis", fallbacks=("nl_amsterdam",), status=holding(SUBNET))
    found = decide.decide(seen(vpn=mine))
    assert found.verdicts[SERVERS_KNOWN] == false(
        "UnknownLocation",
        "PIA's server list has no region 'atlantis' (meanwhile: nl_amsterdam)",
    )
    assert found.gateway == dataclasses.replace(
        CONFIG, servers=(AMSTERDAM_401,), locations=("atlantis", "nl_amsterdam")
    )


def test_a_region_without_servers_now_is_told_of() -> None:
    regions = tuple(dataclasses.replace(region, servers=()) for region in SERVERS.regions)
    empty = dataclasses.replace(SERVERS, regions=regions)
    known = dataclasses.replace(KNOWN_LIST, servers=empty)
    assert decide.decide(seen(server_list=known)).verdicts[SERVERS_KNOWN] == false(
        "NoServerListed",
        "PIA lists no server for swiss now: name another region in spec.serverLocation or "
        "spec.fallbackLocations, or wait for the next list",
    )


# Servers that another tunnel of the account holds


def test_servers_of_the_account_s_other_tunnels_are_left_to_them() -> None:
    found = decide.decide(seen(other_vpns=(elsewhere("198.18.1.1"),)))
    assert found.gateway == dataclasses.replace(CONFIG, servers=(ZURICH_402,))


def test_servers_of_another_account_s_tunnels_may_be_used() -> None:
    found = decide.decide(seen(other_vpns=(elsewhere("198.18.1.1", secret="another"),)))
    assert found.gateway == CONFIG


def test_without_any_server_left_it_says_so_and_takes_none_of_theirs() -> None:
    others = (elsewhere("198.18.1.1", name="a"), elsewhere("198.18.1.2", name="b"))
    found = decide.decide(seen(other_vpns=others))
    assert found.verdicts[SERVERS_KNOWN] == false(
        "ServersInUse",
        "every listed server of swiss carries another PiaVpn of this account already: name more "
        "regions in spec.fallbackLocations",
    )
    assert found.gateway == dataclasses.replace(CONFIG, servers=())


# Location auto


def automatic(**changes: Any) -> model.Observed:
    state = dataclasses.replace(KNOWN_LIST, **changes)
    return seen(vpn=vpn(location="auto", status=holding(SUBNET)), server_list=state)


def test_auto_measures_before_it_chooses_and_keeps_the_servers_meanwhile() -> None:
    assert decide.decide(automatic()) == fine_but(
        {SERVERS_KNOWN: unknown("Measuring")},
        errands=model.Errands(measure=True),
        gateway=dataclasses.replace(CONFIG, locations=()),
    )


def test_auto_takes_the_nearest_servers_first() -> None:
    latencies = {IP("198.18.2.1"): 0.01, IP("198.18.1.2"): 0.02, IP("198.18.1.1"): 0.03}
    assert decide.decide(automatic(latencies=latencies)) == fine_but(
        {SERVERS_KNOWN: true("ServersFound", "3 servers in nl_amsterdam, swiss")},
        gateway=dataclasses.replace(
            CONFIG, servers=(AMSTERDAM_401, ZURICH_402, ZURICH_401), locations=()
        ),
    )


def test_auto_without_any_answer_says_what_to_check() -> None:
    assert decide.decide(automatic(latencies={})).verdicts[SERVERS_KNOWN] == false(
        "NoServerAnswered",
        "no WireGuard server answered on TCP port 1337: check that the operator's pod may reach "
        "the Internet, or name a region in spec.serverLocation",
    )
