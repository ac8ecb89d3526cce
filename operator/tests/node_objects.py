"""What the tests of the node agent's decisions have in common."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from piavpn.node.model import Network

CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1380,
)
