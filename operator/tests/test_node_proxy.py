from __future__ import annotations

import dataclasses
import pathlib
from ipaddress import IPv4Address, IPv4Network

from piavpn.api.gateway_config import Server
from piavpn.node import proxy
from piavpn.node.model import Network

NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1420,
)
FIRST = Server(region="swiss", cn="zurich406", address=IPv4Address("203.0.113.4"), port=1337)
SECOND = dataclasses.replace(FIRST, address=IPv4Address("203.0.113.40"), port=1443)


def test_the_proxy_listens_on_the_bridge_for_the_gateway_alone() -> None:
    text = proxy.configuration(NETWORK, (SECOND, FIRST), pathlib.Path("/run/x/filter"))
    assert text.splitlines() == [
        "User nobody",
        "Group nogroup",
        "Listen 10.100.0.1",
        "Port 8888",
        "Allow 10.100.0.2",
        "Timeout 60",
        "MaxClients 20",
        "ConnectPort 1337",
        "ConnectPort 1443",
        'Filter "/run/x/filter"',
        "FilterDefaultDeny Yes",
        "FilterType ere",
        "FilterURLs On",
        "FilterCaseSensitive Off",
        "DisableViaHeader Yes",
        "LogLevel Warning",
    ]


def test_the_allow_list_is_exact_in_address_and_port() -> None:
    assert proxy.allow_list((SECOND, FIRST, FIRST)) == (
        "^203\\.0\\.113\\.40:1443$\n^203\\.0\\.113\\.4:1337$\n"
    )


def test_no_servers_means_that_all_is_refused() -> None:
    assert proxy.allow_list(()) == ""
