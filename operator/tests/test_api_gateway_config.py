"""What the operator writes for a gateway is what the gateway reads."""

import dataclasses
import ipaddress
import json
from datetime import UTC, datetime

import pytest

from piavpn.api import gateway_config, piavpns

CONFIG = gateway_config.GatewayConfig(
    vpn="home",
    network=piavpns.NetworkStatus(
        subnet=ipaddress.IPv4Network("10.100.0.0/24"),
        bridge="br-home",
        host_address=ipaddress.IPv4Address("10.100.0.1"),
        gateway_address=ipaddress.IPv4Address("10.100.0.2"),
    ),
    cluster_domain="cluster.local",
    servers=(
        gateway_config.Server("swiss", "zurich401", ipaddress.IPv4Address("198.18.11.1"), 1337),
        gateway_config.Server("swiss", "zurich402", ipaddress.IPv4Address("198.18.11.2"), 1337),
    ),
    locations=("swiss", "nl_amsterdam"),
    renewal=gateway_config.Renewal(
        "b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4=", datetime(2026, 12, 23, 3, 17, tzinfo=UTC)
    ),
    grace_seconds=1800,
    return_seconds=600,
    status_url="https://198.18.0.2/status",
)


def test_the_document_reads_as_a_person_would_write_it() -> None:
    assert json.loads(CONFIG.to_json()) == {
        "vpn": "home",
        "network": {
            "subnet": "10.100.0.0/24",
            "bridge": "br-home",
            "hostAddress": "10.100.0.1",
            "gatewayAddress": "10.100.0.2",
        },
        "clusterDomain": "cluster.local",
        "servers": [
            {"region": "swiss", "cn": "zurich401", "address": "198.18.11.1", "port": 1337},
            {"region": "swiss", "cn": "zurich402", "address": "198.18.11.2", "port": 1337},
        ],
        "locations": ["swiss", "nl_amsterdam"],
        "avoided": [],
        "withoutPort": [],
        "renewal": {
            "publicKey": "b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4=",
            "time": "2026-12-23T03:17:00Z",
        },
        "dedicatedIP": False,
        "graceSeconds": 1800,
        "returnSeconds": 600,
        "dnsUpstreams": [],
        "statusURL": "https://198.18.0.2/status",
    }


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        dataclasses.replace(CONFIG, servers=()),
        dataclasses.replace(CONFIG, ca_bundle="-----BEGIN CERTIFICATE-----\n"),
        dataclasses.replace(CONFIG, renewal=None),
    ],
    ids=["usual", "no servers yet", "own authority", "no renewal"],
)
def test_the_gateway_reads_what_the_operator_wrote(config: gateway_config.GatewayConfig) -> None:
    assert gateway_config.GatewayConfig.from_json(config.to_json()) == config


def test_servers_stay_in_the_order_in_which_to_try_them() -> None:
    reversed_order = dataclasses.replace(CONFIG, servers=CONFIG.servers[::-1])
    read = gateway_config.GatewayConfig.from_json(reversed_order.to_json())
    assert [server.cn for server in read.servers] == ["zurich402", "zurich401"]


def test_a_document_of_before_renewals_still_reads_and_asks_for_none() -> None:
    document = json.loads(CONFIG.to_json())
    for name in (
        "renewal",
        "graceSeconds",
        "dedicatedIP",
        "returnSeconds",
        "statusURL",
        "dnsUpstreams",
    ):
        del document[name]
    read = gateway_config.GatewayConfig.from_json(json.dumps(document))
    assert read == dataclasses.replace(
        CONFIG,
        renewal=None,
        grace_seconds=3600,
        return_seconds=1800,
        status_url="https://www.privateinternetaccess.com/api/client/status",
    )


def test_equal_configs_give_equal_text_so_that_nothing_is_written_twice() -> None:
    assert CONFIG.to_json() == dataclasses.replace(CONFIG).to_json()


@pytest.mark.parametrize("text", ["", "{", '{"vpn": "home"}', '{"vpn": "home", "servers": [{}]}'])
def test_a_document_cut_short_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        gateway_config.GatewayConfig.from_json(text)
