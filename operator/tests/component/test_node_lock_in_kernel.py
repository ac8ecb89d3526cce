from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Network

import namespaces
import nodeworld
import pytest
from namespaces import Namespace
from nodeworld import GATEWAY, NETWORK, OUTSIDE, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, lock
from piavpn.node.attach import Attacher, Done
from piavpn.node.decide import Problem

ATTEMPTS = pathlib.Path(__file__).with_name("way_out_attempts.py")
CLUSTER_SERVICE = "10.96.0.10"
PLAN = service("10.100.0.10")

# On the node's end of the pod's link, before anything can stop a packet that got that far.
DETECTOR = """
table netdev detector {{
  counter outside {{ }}
  counter ipv6 {{ }}
  counter dns {{ }}
  counter group {{ }}
  chain seen {{
    type filter hook ingress device "{link}" priority -500; policy accept;
    ip daddr 203.0.113.0/24 counter name outside
    ip daddr {{ 224.0.0.0/4, 255.255.255.255 }} counter name group
    meta protocol ip6 counter name ipv6
    ip daddr 10.96.0.0/12 meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} counter name dns
  }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Seen:
    """Packets that reached the node by the pod's link to the cluster."""

    outside: int
    ipv6: int
    dns: int
    group: int


NOTHING = Seen(0, 0, 0, 0)


class Locked:
    """An attached pod with a detector on the node's end of its link to the cluster."""

    def __init__(self, world: World, pod: TestPod) -> None:
        self.world = world
        self.pod = pod
        with world.node.entered():
            nft.load(DETECTOR.format(link=world.end_of(pod)))
        world.node.run(f"ip addr add {CLUSTER_SERVICE}/32 dev lo")

    def try_everything(self) -> Seen:
        """Try all ways out as an app, and return what came out."""
        before = self.counted()
        self.pod.run(
            "setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs"
            " --bounding-set=-all --inh-caps=-all --ambient-caps=-all"
            f" {sys.executable} -I {ATTEMPTS} {OUTSIDE} {CLUSTER_SERVICE}"
        )
        after = self.counted()
        return Seen(**{name: after[name] - before[name] for name in after})

    def counted(self) -> dict[str, int]:
        with self.world.node.entered():
            return {n: c.packets for n, c in nft.counters("netdev detector").items()}


@pytest.fixture
def attacher(world: World) -> Iterator[Attacher]:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        yield world.attacher()


@pytest.fixture
def locked(world: World, attacher: Attacher) -> Locked:
    pod = world.pod()
    pod.run("sysctl -qw net.ipv4.ping_group_range='0 65535'")
    assert isinstance(attacher.bring(PLAN, pod.seen), Done)
    return Locked(world, pod)


def test_no_packet_gets_out_by_the_clusters_link(locked: Locked) -> None:
    assert locked.try_everything() == NOTHING
    # The control: the same attempts, seen by the same detector, where the lock is not.
    locked.pod.run(
        "nft delete table inet piavpn_lock; sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0"
    )
    unlocked = locked.try_everything()
    assert unlocked.outside >= 9
    assert unlocked.dns >= 3
    assert unlocked.group >= 2
    assert unlocked.ipv6 >= 1
    # An agent that comes to find it so has no use for it any more.
    outcome = locked.world.attacher().bring(PLAN, locked.pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "Tampered"
    assert locked.try_everything() == NOTHING


def test_every_drop_is_counted_by_its_cause(locked: Locked) -> None:
    locked.try_everything()
    locked.pod.run("ping -c 1 -W 1 -I eth0 192.0.2.1", check=False)
    with locked.pod.namespace.entered():
        packets = {n: counter.packets for n, counter in nft.counters(lock.TABLE).items()}
    assert packets["dropped_cluster_link"] >= 9
    assert packets["dropped_dns"] >= 3
    assert packets["probe_ipv4"] == 1
    assert packets["dropped_forward"] == packets["dropped_other"] == 0


def test_the_gates_proof_fails_with_eperm_and_is_counted_apart(locked: Locked) -> None:
    with (
        locked.pod.namespace.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        with pytest.raises(PermissionError):
            probe.sendto(b"x", ("192.0.2.1", 9))
        assert nft.counters(lock.TABLE)["probe_ipv4"].packets == 1


def test_a_flow_that_began_on_the_tunnel_never_moves_to_the_clusters_link(
    locked: Locked,
) -> None:
    before = locked.counted()
    with (
        locked.pod.namespace.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow,
    ):
        flow.connect((OUTSIDE, 9))
        flow.send(b"by the tunnel")
        locked.pod.run("ip route replace default via 169.254.1.1 dev eth0 onlink")
        for _ in range(5):
            with contextlib.suppress(PermissionError):
                flow.send(b"by the cluster's link?")
    assert locked.counted() == before


@contextlib.contextmanager
def echo(where: Namespace, kind: int, address: str) -> Iterator[None]:
    """Answer on port 7 with what came and from where."""
    with where.entered(), socket.socket(socket.AF_INET, kind) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, 7))
        server.settimeout(5)
        if kind == socket.SOCK_STREAM:
            server.listen()
        thread = threading.Thread(target=_answer, args=(server, kind))
        thread.start()
        yield
        thread.join()


def _answer(server: socket.socket, kind: int) -> None:
    with contextlib.suppress(TimeoutError):
        if kind == socket.SOCK_DGRAM:
            data, client = server.recvfrom(100)
            server.sendto(data + client[0].encode(), client)
            return
        connection, client = server.accept()
        with connection:
            connection.sendall(connection.recv(100) + client[0].encode())


def ask(where: Namespace, kind: int, address: str) -> str:
    with where.entered(), socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(2)
        client.connect((address, 7))
        client.send(b"hello from ")
        return client.recv(100).decode()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_a_client_outside_the_cluster_is_answered_by_the_way_it_came(
    locked: Locked, kind: int
) -> None:
    with echo(locked.pod.namespace, kind, "0.0.0.0"):
        reply = ask(locked.world.outside, kind, locked.pod.cluster_address)
    assert reply == f"hello from {OUTSIDE}"
    assert locked.try_everything() == NOTHING


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_the_cluster_is_reached_and_reaches_the_pod(locked: Locked, kind: int) -> None:
    with echo(locked.world.node, kind, CLUSTER_SERVICE):
        assert ask(locked.pod.namespace, kind, CLUSTER_SERVICE) == "hello from " + (
            locked.pod.cluster_address
        )
    with echo(locked.pod.namespace, kind, "0.0.0.0"):
        ask(locked.world.node, kind, locked.pod.cluster_address)


def test_the_node_reaches_the_pod_on_the_bridge(locked: Locked) -> None:
    with echo(locked.pod.namespace, socket.SOCK_STREAM, "10.100.0.10"):
        reply = ask(locked.world.node, socket.SOCK_STREAM, "10.100.0.10")
    assert reply == "hello from 10.100.0.1"


def test_services_do_not_reach_each_other_but_the_gateway(
    locked: Locked, world: World, attacher: Attacher
) -> None:
    other = world.pod()
    gateway = world.pod()
    assert isinstance(attacher.bring(service("10.100.0.11"), other.seen), Done)
    nodeworld.add_tunnels(gateway)
    assert isinstance(attacher.bring(GATEWAY, gateway.seen), Done)
    assert "1 received" in locked.pod.run("ping -c 1 -W 1 10.100.0.2")
    assert "1 received" in other.run("ping -c 1 -W 1 10.100.0.2")
    assert "0 received" in locked.pod.run("ping -c 1 -W 1 10.100.0.11", check=False)


LAN = "192.168.1.9"


def test_an_app_reaches_what_it_may_bypass_to_until_it_may_not_but_never_asks_it_for_names(
    world: World, attacher: Attacher, locked: Locked
) -> None:
    world.outside.run(f"ip addr add {LAN}/32 dev lo")
    bypassing = dataclasses.replace(PLAN, bypass=(IPv4Network("192.168.1.0/24"),))
    assert not reaches(world, locked.pod, LAN)
    assert isinstance(attacher.bring(bypassing, locked.pod.seen), Done)
    assert attacher.bring(bypassing, locked.pod.seen) == Done(())
    assert reaches(world, locked.pod, LAN)
    assert not reaches(world, locked.pod, LAN, port=53)
    assert not reaches(world, locked.pod, OUTSIDE)
    assert locked.try_everything() == NOTHING
    assert isinstance(attacher.bring(PLAN, locked.pod.seen), Done)
    assert not reaches(world, locked.pod, LAN)
    assert isinstance(attacher.bring(bypassing, locked.pod.seen), Done)
    # What the node lets pass is this alone: the lock of the pod is gone.
    locked.pod.run("nft delete table inet piavpn_lock; ip route add 203.0.113.0/24 dev eth0")
    assert reaches(world, locked.pod, LAN)
    assert not reaches(world, locked.pod, LAN, port=53)
    assert not reaches(world, locked.pod, OUTSIDE)


def reaches(world: World, pod: TestPod, address: str, port: int = 80) -> bool:
    """Tell whether a connection from the pod is taken out there."""
    with (
        world.outside.entered(),
        socket.create_server((address, port)),
        pod.namespace.entered(),
        socket.socket() as client,
    ):
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0
