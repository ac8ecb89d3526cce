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
    NETWORK,
    NOW,
    SERVERS,
    SUBNET,
    WORKING,
    ZURICH_401,
    ZURICH_402,
    at,
    holding,
    pod,
    seen,
    sibling,
    vpn,
)

from piavpn.api import piavpns
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
    mine = dataclasses.replace(CONFIG, servers=(ZURICH_402,))
    found = decide.decide(seen(siblings=(sibling("198.18.1.1", ZURICH_401),), gateway_config=mine))
    assert found.gateway == mine
    assert found.verdicts[SERVERS_KNOWN] == true(
        "ServersFound",
        "1 server in swiss: name another region in spec.fallbackLocations, so that renewals need "
        "not break connections",
    )


def test_servers_of_another_account_s_tunnels_may_be_used() -> None:
    found = decide.decide(seen(other_vpns=(at("198.18.1.1"),)))
    assert found.gateway == CONFIG


def test_without_any_server_left_it_says_so_and_takes_none_of_theirs() -> None:
    others = (
        sibling("198.18.1.1", ZURICH_401, name="a"),
        sibling("198.18.1.2", ZURICH_402, name="b"),
    )
    found = decide.decide(seen(siblings=others, gateway_config=None))
    assert found.verdicts[SERVERS_KNOWN] == false(
        "ServersInUse",
        "every listed server of swiss carries another PiaVpn of this account already: name more "
        "regions in spec.fallbackLocations",
    )
    assert found.gateway == dataclasses.replace(CONFIG, servers=())


def test_a_new_tunnel_waits_until_another_has_let_go_of_a_server_and_wakes_it() -> None:
    rich = sibling("198.18.1.1", ZURICH_401, ZURICH_402)
    found = decide.decide(seen(siblings=(rich,), gateway_config=None))
    assert found.verdicts[SERVERS_KNOWN] == unknown(
        "ServersInUse", "waiting for PiaVpn downloads to leave a server of swiss"
    )
    assert found.gateway == dataclasses.replace(CONFIG, servers=())
    assert found.wakes == {"downloads"}


def test_the_other_lets_go_of_the_server_that_it_is_not_at() -> None:
    mine = at("198.18.1.1", "home")
    mine = dataclasses.replace(
        mine, status=dataclasses.replace(mine.status, network=NETWORK, conditions=WORKING)
    )
    found = decide.decide(seen(vpn=mine, siblings=(sibling(),)))
    assert found.gateway is not None
    assert found.gateway.servers == (ZURICH_401,)
    assert found.wakes == {"downloads"}


def test_a_server_is_not_taken_before_the_other_gateway_knows_that_it_has_lost_it() -> None:
    slow = sibling("198.18.1.1", ZURICH_401, known=(ZURICH_401, ZURICH_402))
    found = decide.decide(seen(siblings=(slow,), gateway_config=None))
    assert found.gateway == dataclasses.replace(CONFIG, servers=())
    told = sibling("198.18.1.1", ZURICH_401, known=(ZURICH_401,))
    found = decide.decide(seen(siblings=(told,), gateway_config=None))
    assert found.gateway == dataclasses.replace(CONFIG, servers=(ZURICH_402,))


def test_what_a_gateway_said_counts_no_more_when_its_pod_is_gone() -> None:
    gone = sibling("198.18.1.1", ZURICH_401, known=(ZURICH_401, ZURICH_402), running=False)
    found = decide.decide(seen(siblings=(gone,), gateway_config=None))
    assert found.gateway == dataclasses.replace(CONFIG, servers=(ZURICH_402,))


def test_a_gateway_that_outlives_its_vpn_keeps_its_servers_until_its_end() -> None:
    held = {"deleted": frozenset({IP("198.18.1.1")})}
    found = decide.decide(seen(held=held, gateway_config=None))
    assert found.gateway == dataclasses.replace(CONFIG, servers=(ZURICH_402,))


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
        measured=(piavpns.MeasuredRegion("nl_amsterdam", 10), piavpns.MeasuredRegion("swiss", 20)),
    )


def test_auto_leaves_regions_without_port_forwarding_once_an_app_wants_a_port() -> None:
    regions = tuple(
        dataclasses.replace(region, port_forward=region.id == "swiss") for region in SERVERS.regions
    )
    some = dataclasses.replace(SERVERS, regions=regions)
    latencies = {IP("198.18.2.1"): 0.01, IP("198.18.1.2"): 0.02, IP("198.18.1.1"): 0.03}
    indifferent = automatic(servers=some, latencies=latencies)
    found = decide.decide(dataclasses.replace(indifferent, port_forwarding=True)).gateway
    assert found == dataclasses.replace(
        CONFIG,
        servers=(ZURICH_402, ZURICH_401),
        locations=(),
        avoided=("de-frankfurt", "nl_amsterdam"),
        without_port=("de-frankfurt", "nl_amsterdam"),
    )
    without_port = decide.decide(indifferent).gateway
    assert without_port is not None
    assert without_port.avoided == ()


def test_a_named_location_is_kept_whether_it_forwards_ports_or_not() -> None:
    regions = tuple(dataclasses.replace(region, port_forward=False) for region in SERVERS.regions)
    state = dataclasses.replace(KNOWN_LIST, servers=dataclasses.replace(SERVERS, regions=regions))
    told = dataclasses.replace(CONFIG, without_port=("swiss",))
    assert decide.decide(seen(server_list=state, port_forwarding=True)).gateway == told


def test_a_gateway_keeps_what_it_was_told_of_regions_until_there_is_a_list() -> None:
    told = dataclasses.replace(CONFIG, locations=(), avoided=("panama",), without_port=("panama",))
    starting = dataclasses.replace(
        automatic(servers=None), gateway_config=told, port_forwarding=True
    )
    assert decide.decide(starting).gateway == told
    assert decide.decide(dataclasses.replace(starting, port_forwarding=False)).gateway == (
        dataclasses.replace(told, avoided=(), without_port=())
    )


def test_auto_without_any_answer_says_what_to_check() -> None:
    assert decide.decide(automatic(latencies={})).verdicts[SERVERS_KNOWN] == false(
        "NoServerAnswered",
        "no WireGuard server answered on TCP port 1337: check that the operator's pod may reach "
        "the Internet, or name a region in spec.serverLocation",
    )
