"""An encrypted VPN across nodes: nobody between them reads it, and nothing of it goes in clear."""

from __future__ import annotations

import contextlib
import pathlib
import socket
from collections.abc import Callable, Iterator

import crossnode
import pytest
from crossnode import GATEWAY, Cluster
from namespaces import Namespace, eventually

from piavpn.api.piavpns import NodeEncryption
from piavpn.node.decide import Problem
from piavpn.node.host import Problems

APP, NEIGHBOUR = "10.100.0.10", "10.100.0.11"
MARK = bytes.fromhex("c0ffee")
_ALL_PROTOCOLS = 3


class Vpn:
    """A gateway with an app beside it on node a, another app on node b."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.a, self.b = (cluster.add_node(name) for name in "ab")
        self.gateway = cluster.add(self.a, GATEWAY)
        self.neighbour = cluster.add(self.a, NEIGHBOUR)
        self.app = cluster.add(self.b, APP)

    def settle(self, encryption: NodeEncryption) -> None:
        self.cluster.encryption = encryption
        self.cluster.settle()

    def works(self) -> bool:
        """Tell whether the app reaches the gateway with what can be told on the way."""
        return self.app.reaches(GATEWAY, options=f"-p {MARK.hex()}")

    def comes_to_work(self) -> None:
        """Wait for it: the nodes' first handshake may be lost, as any packet."""
        eventually(self.works, what="the app reaches the gateway", seconds=20)

    def read_on_the_way(self) -> bool:
        """Tell whether who listens between the nodes reads what the app sends."""
        with self.cluster.between.entered():
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
            tap.bind(("p1", _ALL_PROTOCOLS))
        tap.settimeout(0)
        with tap, contextlib.suppress(BlockingIOError):
            self.works()
            while True:
                if MARK * 4 in tap.recv(65535):
                    return True
        return False


@pytest.fixture
def vpn(new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path) -> Iterator[Vpn]:
    with crossnode.cluster(new_namespace, tmp_path) as cluster:
        yield Vpn(cluster)


@pytest.fixture
def encrypted(vpn: Vpn) -> Vpn:
    vpn.settle(NodeEncryption.WIREGUARD)
    vpn.comes_to_work()
    return vpn


def leftovers(node: crossnode.Node) -> str:
    """Return what of the nodes' link is there: of link, routes and filter."""
    listed = node.run("ip -o link; ip -6 route; nft list tables").splitlines()
    ours = ("piavpn-nodes", "fd76:706e", "piavpn_nodes", "vxlan")
    return "\n".join(line for line in listed if any(word in line for word in ours))


def test_nothing_but_wireguard_passes_between_nodes_and_nobody_there_reads_it(vpn: Vpn) -> None:
    vpn.settle(NodeEncryption.NONE)
    vpn.comes_to_work()
    # The control: in clear it is read, by the same listener.
    assert vpn.read_on_the_way()
    vpn.settle(NodeEncryption.WIREGUARD)
    vpn.comes_to_work()
    before = vpn.cluster.seen_between()
    assert not vpn.read_on_the_way()
    assert vpn.works()
    seen = vpn.cluster.seen_between()
    assert seen["encrypted"] > before["encrypted"]
    assert seen["between_bridges"] == before["between_bridges"]
    assert seen["other"] == before["other"]


def test_a_vpn_changes_between_the_two_under_living_pods(vpn: Vpn) -> None:
    for encryption, largest in (
        (NodeEncryption.NONE, 1420),
        (NodeEncryption.WIREGUARD, 1370),
        (NodeEncryption.NONE, 1420),
    ):
        vpn.settle(encryption)
        vpn.comes_to_work()
        assert f"mtu {largest}" in vpn.app.run("ip link show vpn0")
        assert vpn.app.reaches(GATEWAY, options=f"-M do -s {largest - 28}")
        assert not vpn.app.reaches(GATEWAY, options=f"-M do -s {largest - 27}")
    for node in (vpn.a, vpn.b):
        assert not leftovers(node)


def test_without_the_link_nothing_of_it_goes_at_all(encrypted: Vpn) -> None:
    vpn = encrypted
    vpn.b.run("ip link del piavpn-nodes")
    before = vpn.cluster.seen_between()
    assert not vpn.works()
    seen = vpn.cluster.seen_between()
    assert seen["between_bridges"] == before["between_bridges"]
    assert seen["other"] == before["other"]
    # The control: the agent makes it again, and the app is back.
    vpn.cluster.settle()
    vpn.comes_to_work()


@pytest.mark.parametrize(("keyless", "told"), [("a", "192.0.2.1"), ("b", "192.0.2.2")])
def test_to_a_node_without_a_known_key_nothing_goes_and_who_needs_it_is_told(
    vpn: Vpn, keyless: str, told: str
) -> None:
    cluster = vpn.cluster
    cluster.encryption, cluster.keyless = NodeEncryption.WIREGUARD, {keyless}
    problems = {node.name: cluster.pass_of(node) for node in (vpn.a, vpn.b)}
    problem = Problem(
        "NodeKeyUnknown",
        f"the public key of node {told} is not known, so nothing of an encrypted VPN goes there:"
        " its node agent publishes it as ConfigMap piavpn-node-NODE; see the log of that agent",
    )
    # The gateway, on a, is told of its own node alone.
    told_on = {"a", "b"} if keyless == "a" else {"b"}
    assert problems == {
        name: Problems(overlays={"home": problem} if name in told_on else {}) for name in "ab"
    }
    before = cluster.seen_between()
    assert not vpn.works()
    # Whoever is on the gateway's own node is not touched.
    assert vpn.neighbour.reaches(GATEWAY)
    seen = cluster.seen_between()
    assert seen["between_bridges"] == before["between_bridges"]
    assert seen["other"] == before["other"]
    # The control: once it is known, all is well.
    cluster.keyless = set()
    cluster.settle()
    vpn.comes_to_work()


def test_a_wrong_key_lets_nothing_through(encrypted: Vpn, tmp_path: pathlib.Path) -> None:
    vpn = encrypted
    (kept,) = (tmp_path / "a" / ".nodes").glob("key")
    kept.unlink()
    vpn.a.host.stop()
    vpn.a.start()
    vpn.cluster.pass_of(vpn.a)
    assert not vpn.works()
    # The control: the other node hears of the new one.
    vpn.cluster.settle()
    vpn.comes_to_work()


def test_an_agent_that_restarts_disturbs_nothing(encrypted: Vpn) -> None:
    vpn = encrypted
    described = "ip -o -d link show type vxlan; ip -o link show piavpn-nodes; bridge fdb"
    before = vpn.b.run(described)
    with vpn.app.test_pod.namespace.process(
        "ping", "-q", "-i", "0.02", "-c", "100", GATEWAY
    ) as pings:
        vpn.b.start()
        vpn.cluster.settle()
        assert "100 received" in pings.communicate(timeout=20)[0]
    assert vpn.b.run(described) == before


def test_an_agent_that_ends_after_the_last_pod_leaves_neither_link_nor_key(
    encrypted: Vpn, tmp_path: pathlib.Path
) -> None:
    vpn, node = encrypted, encrypted.b
    assert leftovers(node)
    assert (tmp_path / "b" / ".nodes" / "key").exists()
    vpn.cluster.remove(vpn.app)
    plan = vpn.cluster.plan(node)
    with node.world.node.entered():
        node.host.leave(plan)
    assert not leftovers(node)
    assert not (tmp_path / "b" / ".nodes").exists()
