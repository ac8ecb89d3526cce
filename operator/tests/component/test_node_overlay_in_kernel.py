"""A VPN across nodes: its bridges are one network, and no less tight than one bridge."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import crossnode
import pytest
from crossnode import GATEWAY, Cluster, Member
from namespaces import Namespace

HERE, THERE, FAR = "10.100.0.10", "10.100.0.11", "10.100.0.12"
INTERNET = "198.51.100.7"


class Vpn:
    """A gateway and an app on node a, apps on nodes b and c."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.a, self.b, self.c = (cluster.add_node(name) for name in "abc")
        self.gateway = self.add_gateway(self.a)
        self.here = cluster.add(self.a, HERE)
        self.there = cluster.add(self.b, THERE)
        self.far = cluster.add(self.c, FAR)
        cluster.settle()

    def add_gateway(self, node: crossnode.Node) -> Member:
        gateway = self.cluster.add(node, GATEWAY)
        gateway.run(f"ip addr add {INTERNET}/32 dev piaw0")
        return gateway


@pytest.fixture
def vpn(new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path) -> Iterator[Vpn]:
    with crossnode.cluster(new_namespace, tmp_path) as cluster:
        yield Vpn(cluster)


def test_apps_of_all_nodes_reach_the_gateway_and_what_it_forwards_and_no_other_app(
    vpn: Vpn,
) -> None:
    before = vpn.cluster.seen_between()
    for app in (vpn.here, vpn.there, vpn.far):
        assert app.reaches(GATEWAY)
        assert app.reaches(INTERNET)
        assert vpn.gateway.reaches(app.address)
        for other in {HERE, THERE, FAR} - {app.address}:
            assert not app.reaches(other)
    seen = vpn.cluster.seen_between()
    assert seen["between_bridges"] > before["between_bridges"]
    assert seen["other"] == before["other"]
    # The control: the detector sees what else a node would send.
    assert "1 received" in vpn.b.run("ping -c 1 -W 1 192.0.2.1")
    assert vpn.cluster.seen_between()["other"] == before["other"] + 2


def test_apps_of_different_nodes_reach_each_other_while_their_vpn_lets_them(vpn: Vpn) -> None:
    vpn.cluster.isolation = False
    vpn.cluster.settle()
    for app in (vpn.here, vpn.there, vpn.far):
        for other in {HERE, THERE, FAR, GATEWAY, INTERNET} - {app.address}:
            assert app.reaches(other)
    vpn.cluster.isolation = True
    vpn.cluster.settle()
    assert not vpn.there.reaches(FAR)
    assert not vpn.there.reaches(HERE)
    assert vpn.there.reaches(GATEWAY)


def test_a_full_datagram_passes_in_one_piece(vpn: Vpn) -> None:
    full = 1420 - 28
    assert vpn.there.reaches(GATEWAY, options=f"-M do -s {full}")
    assert not vpn.there.reaches(GATEWAY, options=f"-M do -s {full + 1}")
