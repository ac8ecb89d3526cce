"""Objects that several tests of the gateway use."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import UTC, datetime

from piavpn.api import piavpns
from piavpn.api.gateway_config import GatewayConfig, Server
from piavpn.gateway.session import Session

A = Server("swiss", "zurich401", ipaddress.IPv4Address("198.18.11.1"), 1337)
B = Server("swiss", "zurich402", ipaddress.IPv4Address("198.18.11.2"), 1337)
C = Server("de-frankfurt", "frankfurt401", ipaddress.IPv4Address("198.18.13.1"), 1337)

CONFIG = GatewayConfig(
    vpn="home",
    network=piavpns.NetworkStatus(
        subnet=ipaddress.IPv4Network("10.100.0.0/24"),
        bridge="br-home",
        host_address=ipaddress.IPv4Address("10.100.0.1"),
        gateway_address=ipaddress.IPv4Address("10.100.0.2"),
    ),
    cluster_domain="cluster.local",
    servers=(A, B, C),
)

SESSION = Session(
    region="swiss",
    cn="zurich401",
    address=ipaddress.IPv4Address("198.18.11.1"),
    endpoint_port=1337,
    server_key="c2VydmVyIGtleSBvZiB6dXJpY2g0MDEgMzIgYnl0ZXM=",
    server_vip=ipaddress.IPv4Address("10.5.128.1"),
    peer_address=ipaddress.IPv4Address("10.5.1.7"),
    dns_servers=(ipaddress.IPv4Address("10.0.0.243"), ipaddress.IPv4Address("10.0.0.242")),
    link="piaw0",
    public_key="b3VyIHB1YmxpYyBrZXkgaGFzIDMyIGJ5dGVzIHRvby4=",
    registered_time=datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
)
NEXT_SESSION = dataclasses.replace(
    SESSION,
    cn="zurich402",
    address=ipaddress.IPv4Address("198.18.11.2"),
    peer_address=ipaddress.IPv4Address("10.5.2.9"),
    link="piaw1",
    public_key="YW5vdGhlciBwdWJsaWMga2V5IG9mIG91cnMuLi4uLi4=",
    registered_time=datetime(2026, 11, 23, 5, 0, tzinfo=UTC),
)
FALLBACK_SESSION = dataclasses.replace(
    SESSION,
    region="de-frankfurt",
    cn="frankfurt401",
    address=ipaddress.IPv4Address("198.18.13.1"),
)
