"""Between joined bridges nobody speaks but the nodes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import crossnode
from crossnode import GATEWAY
from namespaces import Namespace

SEND = "python3 -c 'import socket; socket.socket(type=2).sendto(bytes(60), (\"{}\", 14789))'"


def test_a_pod_of_a_node_without_the_vpn_cannot_speak_with_its_nodes_address(
    new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> None:
    """As it would where the node masquerades what its pods send to nodes."""
    with crossnode.cluster(new_namespace, tmp_path) as cluster:
        a, b, c = (cluster.add_node(name) for name in "abc")
        cluster.add(a, GATEWAY)
        cluster.add(b, "10.100.0.10")
        stranger = c.world.pod()
        c.run(
            "nft 'table ip test_nat { chain out { type nat hook postrouting priority 100;"
            " masquerade; }; }'"
        )
        cluster.settle()
        before = cluster.seen_between()["between_bridges"]

        stranger.run(SEND.format(b.address), check=False)
        assert cluster.seen_between()["between_bridges"] == before
        assert c.counted("inet piavpn_host", "dropped_overlay") == 1

        # The control: it is the node's filter that stopped it.
        c.run("nft delete table inet piavpn_host")
        stranger.run(SEND.format(b.address))
        assert cluster.seen_between()["between_bridges"] == before + 1


def test_a_node_without_the_vpn_keeps_nothing_of_it_without_an_agent(
    new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> None:
    with crossnode.cluster(new_namespace, tmp_path) as cluster:
        a, b, c = (cluster.add_node(name) for name in "abc")
        cluster.add(a, GATEWAY)
        cluster.add(b, "10.100.0.10")
        cluster.settle()
        assert "piavpn_host" in c.run("nft list tables")
        with c.world.node.entered():
            c.host.leave(cluster.plan(c))
        assert "piavpn" not in c.run("nft list tables")
