"""`kubectl piavpn regions`: the nearest first, with what each can do."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import cli_world
import controller_world
import kube_server
import pia_server
import pytest
from cli_world import Kubectl, Said

from piavpn import keptlists, kube
from piavpn.api import piavpns

api, kubectl = cli_world.api, cli_world.kubectl

KEY = pia_server.public_pem(controller_world.KEY)
OTHER_KEY = {"endpoints": {"serverListPublicKey": KEY}}
LIST = {
    "groups": {"wg": [{"name": "wireguard", "ports": [1337]}]},
    "regions": [
        {
            "id": name,
            "name": title,
            "country": country,
            "port_forward": forwards,
            "geo": geo,
            "offline": offline,
            "servers": {"wg": [{"ip": "198.18.1.1", "cn": f"{name}401"}]},
        }
        for name, title, country, forwards, geo, offline in (
            ("us_chicago", "US Chicago", "US", False, False, False),
            ("swiss", "Switzerland", "CH", True, False, False),
            ("nl_amsterdam", "Netherlands", "NL", True, False, False),
            ("bahamas", "Bahamas", "BS", True, True, True),
        )
    ],
}


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    """Keep a server list as the operator does, of a PiaVpn that verifies it by another key."""
    measured = [("swiss", 12), ("us_chicago", 118), ("nl_amsterdam", 9)]
    servers = [{"region": region, "latencyMilliseconds": took} for region, took in measured]
    cli_world.put_vpn(api, spec=OTHER_KEY, servers=servers)
    put_list(api, controller_world.signed(LIST))


def put_list(api: kube_server.Api, raw: bytes) -> None:
    name = keptlists.name(piavpns.Endpoints(server_list_public_key=KEY))
    body = keptlists.config_map(name, cli_world.SYSTEM, raw, datetime.now(UTC))
    kept = {key: body[key] for key in ("data", "binaryData")}
    api.put(kube.CONFIG_MAPS, name, cli_world.SYSTEM, **kept)


def test_the_nearest_come_first_and_those_without_a_measurement_last(kubectl: Kubectl) -> None:
    assert kubectl.piavpn("regions", "home") == Said(
        0,
        "REGION         NAME          COUNTRY   LATENCY   PORT FORWARDING   GEO   USE\n"
        "nl_amsterdam   Netherlands   NL        9 ms      yes               no    fallback 1\n"
        "swiss          Switzerland   CH        12 ms     yes               no    "
        "now, serverLocation\n"
        "us_chicago     US Chicago    US        118 ms    no                no    -\n"
        "bahamas        Bahamas       BS        -         yes               yes   offline\n",
    )


def test_the_same_is_said_to_programs(kubectl: Kubectl) -> None:
    said = kubectl.piavpn("regions", "-o", "json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)[0] == {
        "region": "nl_amsterdam",
        "name": "Netherlands",
        "country": "NL",
        "latencyMilliseconds": 9,
        "portForwarding": True,
        "geo": False,
        "offline": False,
        "servers": 1,
        "use": "fallback 1",
    }


def test_it_is_told_why_there_are_no_latencies(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_vpn(api, "home", spec=OTHER_KEY, servers=[])
    said = kubectl.piavpn("regions")
    assert said.code == 0
    assert said.err == "latencies are measured where serverLocation is auto\n"
    assert said.out.splitlines()[1].startswith("bahamas        Bahamas       BS        -     ")


def test_without_a_list_it_is_told_what_the_operator_lacks(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    lacking = cli_world.condition("ServersKnown", "False", "Unreachable", "no answer from pia.test")
    cli_world.put_vpn(api, "away", conditions=[lacking])
    assert kubectl.piavpn("regions", "away") == Said(
        2,
        "",
        "error: the operator keeps no server list for PiaVpn away in namespace piavpn-system "
        "(Unreachable: no answer from pia.test)\n",
    )
