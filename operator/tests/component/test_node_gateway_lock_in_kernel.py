from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import namespaces
import nodeworld
import pytest
from nodeworld import GATEWAY, NETWORK, TestPod, World

from piavpn.api import names
from piavpn.net import nft
from piavpn.node import bridge
from piavpn.node.attach import Done

CLUSTER_SERVICE = "10.96.0.10"
OTHER_POD = "10.244.0.77"
CACHE = "169.254.20.10"

# On the node's end of the gateway's link.
DETECTOR = """
table netdev detector {{
  counter dns {{ }}
  counter api {{ }}
  counter rest {{ }}
  chain seen {{
    type filter hook ingress device "{link}" priority -500; policy accept;
    ip daddr {{ 10.96.0.0/12, 169.254.20.10 }} meta l4proto {{ tcp, udp }} th dport 53 \
counter name dns accept
    ip daddr 10.96.0.0/12 tcp dport 443 counter name api accept
    meta l4proto {{ tcp, udp }} counter name rest
  }}
}}
"""
ATTEMPTS = (
    (socket.SOCK_DGRAM, CLUSTER_SERVICE, 53),
    (socket.SOCK_DGRAM, CACHE, 53),
    (socket.SOCK_STREAM, CLUSTER_SERVICE, 443),
    (socket.SOCK_STREAM, CLUSTER_SERVICE, 80),
    (socket.SOCK_DGRAM, OTHER_POD, 9),
    (socket.SOCK_STREAM, OTHER_POD, 8080),
    (socket.SOCK_STREAM, CACHE, 8080),
)


@pytest.fixture
def gateway(world: World) -> Iterator[TestPod]:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        pod = world.pod()
        nodeworld.add_tunnels(pod)
        assert isinstance(world.attacher().bring(GATEWAY, pod.seen), Done)
        nft.load(DETECTOR.format(link=f"veth{pod.cluster_address.rpartition('.')[2]}"))
        yield pod


def attempted(world: World, gateway: TestPod) -> dict[str, int]:
    """Return how many packets of one round of attempts reached the node, by what they were."""
    with world.node.entered():
        before = nft.counters("netdev detector")
    with gateway.namespace.entered():
        for kind, address, port in ATTEMPTS:
            with socket.socket(socket.AF_INET, kind) as out, contextlib.suppress(OSError):
                out.settimeout(0)
                out.connect((address, port))
                if kind is socket.SOCK_DGRAM:
                    out.send(b"hello")
    with world.node.entered():
        after = nft.counters("netdev detector")
    return {name: after[name].packets - before[name].packets for name in after}


def test_a_gateway_begins_connections_to_cluster_dns_and_the_api_server_alone(
    world: World, gateway: TestPod
) -> None:
    assert attempted(world, gateway) == {"dns": 2, "api": 1, "rest": 0}
    # The control: the same attempts, seen by the same detector, where the lock is not.
    gateway.run("nft delete table inet piavpn_lock")
    assert attempted(world, gateway) == {"dns": 2, "api": 1, "rest": 4}


def test_its_http_proxy_begins_none_there(world: World, gateway: TestPod) -> None:
    def tried(user: int) -> int:
        with world.node.entered():
            before = nft.counters("netdev detector")["api"].packets
        code = f"import socket; socket.create_connection(('{CLUSTER_SERVICE}', 443), 0.1)"
        as_user = f"setpriv --reuid {user} --clear-groups {sys.executable} -I -c"
        gateway.run(f'{as_user} "{code}"', check=False)
        with world.node.entered():
            return nft.counters("netdev detector")["api"].packets - before

    assert tried(names.HTTP_PROXY_USER) == 0
    assert tried(0) == 1
