"""Two nodes on one network, joined by WireGuard: what goes between them, and what never does."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import namespaces
import pytest
import wireguards
from namespaces import Namespace, eventually

from piavpn.net import nft, wg
from piavpn.node import mesh, meshfilter
from piavpn.node.canonical import Canonical
from piavpn.node.links import Links
from piavpn.node.meshlink import MeshError, MeshLink

UPLINK = 1500
ADDRESSES = {"n1": IPv4Address("192.0.2.1"), "n2": IPv4Address("192.0.2.2")}
OVERLAY_PORT = 14789
SECRET = b"what nobody on the way may read"
_ALL_PROTOCOLS = 3
_WAIT_SECONDS = 1.0


class Node:
    """A node, and the agent's part that joins it to the others."""

    def __init__(self, name: str, namespace: Namespace, state: pathlib.Path) -> None:
        self.name = name
        self.address = str(mesh.address_of(ADDRESSES[name]))
        self.directory = state / ".nodes"
        self._namespace = namespace
        self._cgroups = state / "cgroups"
        self._cgroups.mkdir(parents=True)
        self._makers: list[Links] = []
        self.restart()

    def restart(self) -> None:
        """Start another agent: it knows nothing but what the node keeps."""
        self._makers.append(Links(self._cgroups))
        self.link = MeshLink(Canonical(), self._makers[-1], self.directory)

    @property
    def public_key(self) -> str:
        return self.link.key.pair().public

    def bring(self, *others: Node) -> None:
        """Make the link, to the others whose keys are known."""
        keys = {ADDRESSES[other.name]: other.public_key for other in others}
        with self.entered():
            self.link.bring(mesh.plan(ADDRESSES[self.name], keys, UPLINK))

    def remove(self) -> None:
        with self.entered():
            self.link.remove()

    def programs(self) -> int:
        """Return how many of the programs still run that were started here."""
        return sum(maker.reap() for maker in self._makers)

    def run(self, command: str) -> str:
        return self._namespace.run(command)

    def entered(self) -> contextlib.AbstractContextManager[None]:
        return self._namespace.entered()

    def says(self, other: Node, port: int = OVERLAY_PORT) -> None:
        """Send the secret to the other node's address in the mesh; it may not leave at all."""
        with self.entered():
            out = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with out, contextlib.suppress(OSError):
            out.sendto(SECRET, (other.address, port))

    def holds(self) -> str:
        """Return all that the agent has made, but for counters."""
        kernel = self.run("ip -o link; ip -6 -o addr; ip -6 route; nft --stateless list ruleset")
        with self.entered():
            return f"{kernel}{wg.membership('piavpn-nodes', sockets=self.directory)}"

    def handshakes(self) -> str:
        """Return when each of the others was heard last."""
        show = "wg show piavpn-nodes latest-handshakes"
        return self.run(
            f"unshare --mount sh -c 'mount --bind {self.directory} /run/wireguard && {show}'"
        )

    def dropped(self) -> int:
        with self.entered():
            return nft.counters(meshfilter.TABLE)["dropped"].packets


@pytest.fixture
def nodes(
    new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[tuple[Node, Node]]:
    namespaces.tool("wireguard-go")
    one, two = new_namespace("n1"), new_namespace("n2")
    for node in (one, two):
        # Else a link's address changes by itself a moment later: it is tentative at first.
        node.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    namespaces.veth(one, "uplink", two, "uplink")
    one.run("ip addr add 192.0.2.1/24 dev uplink")
    two.run("ip addr add 192.0.2.2/24 dev uplink")
    made = Node("n1", one, tmp_path / "n1"), Node("n2", two, tmp_path / "n2")
    yield made
    for node in made:
        node.remove()
    eventually(lambda: not any(node.programs() for node in made), what="wireguard-go ends")


@pytest.fixture
def joined(nodes: tuple[Node, Node]) -> tuple[Node, Node]:
    """Two nodes that know each other's keys."""
    one, two = nodes
    one.bring(two)
    two.bring(one)
    return nodes


@contextlib.contextmanager
def listening(node: Node, port: int = OVERLAY_PORT) -> Iterator[socket.socket]:
    with node.entered():
        there = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        there.bind(("::", port))
    there.settimeout(_WAIT_SECONDS)
    with there:
        yield there


@contextlib.contextmanager
def seen_on_the_way(node: Node) -> Iterator[Callable[[], list[bytes]]]:
    """Give what has passed the node's uplink since the block began."""
    with node.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        tap.bind(("uplink", _ALL_PROTOCOLS))
    tap.settimeout(0)
    frames: list[bytes] = []

    def read() -> list[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(tap.recv(65535))
        return frames

    with tap:
        yield read


def heard(there: socket.socket) -> bool:
    try:
        return there.recv(100) == SECRET
    except TimeoutError:
        return False


def gets_through(one: Node, two: Node, there: socket.socket) -> None:
    """Wait until the secret arrives: the first handshake may be lost, as any packet."""

    def arrives() -> bool:
        one.says(two)
        return heard(there)

    eventually(arrives, what=f"{one.name} reaches {two.name}", seconds=20)


def test_what_nodes_say_to_each_other_is_read_by_nobody_on_the_way(
    joined: tuple[Node, Node],
) -> None:
    one, two = joined
    with listening(two) as there, seen_on_the_way(two) as frames:
        gets_through(one, two, there)
        on_the_way = frames()
    assert not any(SECRET in frame for frame in on_the_way)
    # The control: it came this way, as WireGuard's; and the same in clear would have been seen.
    assert any(frame[36:38] == (14790).to_bytes(2) for frame in on_the_way)
    with seen_on_the_way(two) as frames:
        one.run("ip addr add fd00::1/64 dev uplink nodad")
        two.run("ip addr add fd00::2/64 dev uplink nodad")
        with one.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as out:
            out.sendto(SECRET, ("fd00::2", OVERLAY_PORT))
        eventually(lambda: any(SECRET in frame for frame in frames()), what="it is seen")


def test_when_the_link_goes_nothing_goes_in_clear(joined: tuple[Node, Node]) -> None:
    one, two = joined
    # Whatever another's default route is: it would take the prefix's addresses.
    one.run("ip -6 route add default dev uplink")
    one.run("ip link del piavpn-nodes")
    with seen_on_the_way(one) as frames:
        one.says(two)
        # Even where somebody takes the backstop's route away, the filter holds.
        one.run("ip -6 route flush fd76:706e::/96 type unreachable")
        one.run("ip -6 neigh add fd76:706e::c000:202 lladdr 02:00:00:00:00:02 dev uplink")
        one.says(two)
        assert not any(SECRET in frame for frame in frames())
        # The control: without either it goes.
        one.run("nft delete table inet piavpn_nodes")
        one.says(two)
        eventually(lambda: any(SECRET in frame for frame in frames()), what="it goes in clear")


def test_a_link_that_was_lost_comes_back_with_the_same_key(joined: tuple[Node, Node]) -> None:
    one, two = joined
    key = one.public_key
    one.run("ip link del piavpn-nodes")
    one.bring(two)
    assert one.public_key == key
    with listening(two) as there:
        gets_through(one, two, there)


def test_a_node_whose_key_is_not_known_hears_nothing_until_it_is(
    nodes: tuple[Node, Node],
) -> None:
    one, two = nodes
    one.bring()
    two.bring(one)
    with listening(two) as there:
        one.says(two)
        assert not heard(there)
        one.bring(two)
        gets_through(one, two, there)


def test_an_agent_that_restarts_changes_nothing(joined: tuple[Node, Node]) -> None:
    one, two = joined
    with listening(two) as there:
        gets_through(one, two, there)
    before, handshake = one.holds(), one.handshakes()
    one.restart()
    one.bring(two)
    assert one.holds() == before
    assert one.handshakes() == handshake


def test_what_somebody_changes_is_put_right(joined: tuple[Node, Node]) -> None:
    one, two = joined
    before = one.holds()
    for command in (
        "ip link set piavpn-nodes mtu 1300",
        "ip -6 addr add fd76:706e::9/128 dev piavpn-nodes nodad",
        "ip -6 route flush fd76:706e::/96",
        "nft flush table inet piavpn_nodes",
        "ip link set piavpn-nodes down",
    ):
        one.run(command)
        assert one.holds() != before
        one.bring(two)
        assert sorted(one.holds().splitlines()) == sorted(before.splitlines()), command


def test_only_vxlan_goes_by_the_link(joined: tuple[Node, Node]) -> None:
    one, two = joined
    with listening(two, port=53) as there:
        one.says(two, port=53)
        assert not heard(there)
    assert one.dropped() == 1
    # Nor does the other end take anything else, whatever this node sends.
    one.run("nft delete table inet piavpn_nodes")
    with listening(two, port=53) as there:
        one.says(two, port=53)
        assert not heard(there)
    assert two.dropped() == 1
    with listening(two) as there:
        gets_through(one, two, there)


def test_nobody_gets_in_by_the_uplink_who_says_a_nodes_address(
    joined: tuple[Node, Node],
) -> None:
    one, two = joined
    one.remove()
    one.run(f"ip -6 route add {two.address} dev uplink")
    (described,) = json.loads(two.run("ip -json link show uplink"))
    one.run(f"ip -6 neigh add {two.address} lladdr {described['address']} dev uplink")
    with listening(two) as there:
        one.says(two)
        assert not heard(there)
        assert two.dropped() == 1
        # The control: the filter alone keeps it out.
        two.run("nft delete table inet piavpn_nodes")
        gets_through(one, two, there)


def test_when_it_is_not_wanted_any_more_nothing_is_left(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    before = one.run("ip -o link; ip -6 route; nft list ruleset")
    one.bring(two)
    assert one.run("ip -o link; ip -6 route; nft list ruleset") != before
    one.remove()
    assert one.run("ip -o link; ip -6 route; nft list ruleset") == before
    one.remove()


def test_a_node_whose_links_have_no_ipv6_has_it_on_this_one(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
    one.bring(two)
    assert one.address in one.run("ip -6 addr show dev piavpn-nodes")


def test_a_node_that_can_make_no_link_is_told_what_to_do(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    one, two = nodes
    stand_in = tmp_path / "wireguard-go"
    stand_in.write_text("#!/bin/sh\necho 'ERROR: no TUN device'; exit 1\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with wireguards.not_in_kernel(), pytest.raises(MeshError) as failed:
        one.bring(two)
    assert str(failed.value) == (
        "link piavpn-nodes to the other nodes cannot be set up: the node has no kernel WireGuard,"
        " and wireguard-go did not start (ERROR: no TUN device): load the kernel module wireguard,"
        " or see to what wireguard-go needs, such as /dev/net/tun"
    )
    # What would go there has no way at all.
    assert "unreachable fd76:706e::/96" in one.run("ip -6 route")
