from __future__ import annotations

import dataclasses
import ipaddress
from ipaddress import IPv4Address

import pytest

from piavpn.api.gateway_config import Server
from piavpn.pia import locations
from piavpn.pia.locations import Candidates
from piavpn.pia.serverlist import Region, ServerList, WireGuardServer


def region(
    identity: str,
    name: str,
    *addresses: str,
    geo: bool = False,
    offline: bool = False,
    auto_region: bool = True,
) -> Region:
    servers = tuple(WireGuardServer(f"cn-{address}", IPv4Address(address)) for address in addresses)
    return Region(
        id=identity,
        name=name,
        country="",
        port_forward=True,
        geo=geo,
        offline=offline,
        servers=servers,
        auto_region=auto_region,
    )


def server(region_id: str, address: str) -> Server:
    return Server(region_id, f"cn-{address}", IPv4Address(address), 1337)


SERVER_LIST = ServerList(
    regions=(
        region("swiss", "Switzerland", "198.18.1.1", "198.18.1.2"),
        region("nl_amsterdam", "Netherlands", "198.18.2.1", "198.18.1.2"),
        region("de-frankfurt", "DE Frankfurt", "198.18.3.1"),
        region("us_chicago", "US Chicago", "198.18.4.1"),
        region("panama", "Panama", "198.18.5.1", geo=True),
        region("ad", "Andorra", "198.18.6.1", offline=True),
        region("empty", "Nowhere"),
        region("nl_so", "NL Streaming", "198.18.7.1", auto_region=False),
        region("twin", "The same server as in Switzerland", "198.18.1.1"),
    ),
    port=1337,
)
NO_LATENCIES: dict[IPv4Address, float] = {}


def latencies(**milliseconds: float) -> dict[IPv4Address, float]:
    """Give latencies by the last two parts of an address: `_1_1` is 198.18.1.1."""
    return {
        IPv4Address(f"198.18{name.replace('_', '.')}"): value / 1000
        for name, value in milliseconds.items()
    }


def test_a_location_gives_its_servers_and_then_the_fallbacks_in_order() -> None:
    found = locations.candidates(
        SERVER_LIST,
        location="swiss",
        fallbacks=("us_chicago", "de-frankfurt"),
        latencies=NO_LATENCIES,
    )

    assert found == Candidates(
        servers=(
            server("swiss", "198.18.1.1"),
            server("swiss", "198.18.1.2"),
            server("us_chicago", "198.18.4.1"),
            server("de-frankfurt", "198.18.3.1"),
        ),
        unknown=(),
        unavailable=(),
    )


def test_a_server_of_several_regions_is_tried_once_under_the_first() -> None:
    found = locations.candidates(
        SERVER_LIST,
        location="nl_amsterdam",
        fallbacks=("swiss", "nl_amsterdam", "twin"),
        latencies=NO_LATENCIES,
    )

    assert found == Candidates(
        servers=(
            server("nl_amsterdam", "198.18.2.1"),
            server("nl_amsterdam", "198.18.1.2"),
            server("swiss", "198.18.1.1"),
        ),
        unknown=(),
        unavailable=(),
    )


def test_a_location_that_is_unknown_or_gives_no_server_is_told_and_the_fallback_is_used() -> None:
    found = locations.candidates(
        SERVER_LIST,
        location="swis",
        fallbacks=("ad", "empty", "auto", "de-frankfurt"),
        latencies=NO_LATENCIES,
    )

    assert found == Candidates(
        servers=(server("de-frankfurt", "198.18.3.1"),),
        unknown=("swis",),
        unavailable=("ad", "empty", "auto"),
    )


def test_auto_takes_the_three_nearest_regions_the_nearest_server_first() -> None:
    found = locations.candidates(
        SERVER_LIST,
        location="auto",
        latencies=latencies(_1_1=30, _1_2=20, _2_1=90, _3_1=10, _4_1=95),
    )

    assert found.servers == (
        server("de-frankfurt", "198.18.3.1"),
        server("swiss", "198.18.1.2"),
        server("swiss", "198.18.1.1"),
    )


def test_auto_counts_regions_with_the_same_nearest_server_once() -> None:
    found = locations.candidates(
        SERVER_LIST, location="auto", latencies=latencies(_1_1=5, _3_1=10, _4_1=20)
    )

    assert [item.region for item in found.servers] == [
        "swiss",
        "swiss",
        "de-frankfurt",
        "us_chicago",
    ]


def test_auto_leaves_out_geo_offline_and_streaming_regions() -> None:
    found = locations.candidates(
        SERVER_LIST, location="auto", latencies=latencies(_5_1=1, _6_1=2, _7_1=3, _4_1=200)
    )

    assert found.servers == (server("us_chicago", "198.18.4.1"),)


def test_auto_for_a_forwarded_port_leaves_out_regions_that_forward_none() -> None:
    america, germany = region("us_chicago", "US", "198.18.4.1"), region("de", "DE", "198.18.3.1")
    both = ServerList((dataclasses.replace(america, port_forward=False), germany), 1337)
    measured = latencies(_4_1=1, _3_1=2)

    found = locations.candidates(both, location="auto", latencies=measured, port_forwarding=True)

    assert found.servers == (server("de", "198.18.3.1"),)
    assert locations.ranked(both, measured, port_forwarding=True) == ((germany, 0.002),)


def test_a_fallback_that_forwards_no_port_is_left_out_where_one_is_wanted() -> None:
    swiss, america = region("swiss", "CH", "198.18.1.1"), region("us_chicago", "US", "198.18.4.1")
    both = ServerList((swiss, dataclasses.replace(america, port_forward=False)), 1337)

    def found(location: str, fallback: str) -> tuple[Server, ...]:
        return locations.candidates(
            both, location=location, fallbacks=(fallback,), latencies={}, port_forwarding=True
        ).servers

    assert found("swiss", "us_chicago") == (server("swiss", "198.18.1.1"),)
    assert found("us_chicago", "swiss") == (
        server("us_chicago", "198.18.4.1"),
        server("swiss", "198.18.1.1"),
    )


def test_auto_stands_for_more_regions_where_several_tunnels_have_to_share_them() -> None:
    measured = latencies(_1_1=1, _2_1=2, _3_1=3, _4_1=4)

    found = locations.candidates(SERVER_LIST, location="auto", latencies=measured, auto_regions=6)

    assert {each.region for each in found.servers} == {
        "swiss",
        "nl_amsterdam",
        "de-frankfurt",
        "us_chicago",
    }


def test_auto_wants_the_latency_of_each_server_that_it_may_choose_once() -> None:
    assert locations.measurable(SERVER_LIST) == tuple(
        map(
            ipaddress.IPv4Address,
            ["198.18.1.1", "198.18.1.2", "198.18.2.1", "198.18.3.1", "198.18.4.1"],
        )
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("swis", "PIA's server list has no region 'swis'; did you mean swiss?"),
        ("SWISS", "PIA's server list has no region 'SWISS'; did you mean swiss?"),
        ("us chicago", "PIA's server list has no region 'us chicago'; did you mean us_chicago?"),
        ("switzerland", "PIA's server list has no region 'switzerland'; did you mean swiss?"),
        ("frankfurt", "PIA's server list has no region 'frankfurt'; did you mean de-frankfurt?"),
        ("atlantis", "PIA's server list has no region 'atlantis'"),
    ],
)
def test_an_unknown_location_is_answered_with_what_may_be_meant(wanted: str, sentence: str) -> None:
    assert locations.explain_unknown(SERVER_LIST, wanted) == sentence
