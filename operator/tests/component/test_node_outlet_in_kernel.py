from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import namespaces
import pytest
from namespaces import Namespace
from nodeworld import CLUSTER, NETWORK, OUTSIDE, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, outlets
from piavpn.node.attach import Done
from piavpn.node.canonical import Canonical
from piavpn.node.outlet import Inside
from piavpn.node.outlets import Outlets

SERVICE = "10.96.0.10"
LEADS_OUT = "10.96.0.20"
SPOOFED = "10.244.0.77"

# Behind the filter: what is counted here has passed it.
DETECTOR = """
table inet detector {{
  counter outside {{ }}
  counter spoofed {{ }}
  counter dns {{ }}
  counter ipv6 {{ }}
  chain arrived {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "{taker}" accept
    ip saddr {spoofed} counter name spoofed
    udp dport 53 counter name dns
    ip6 daddr 2606:4700::9 counter name ipv6
  }}
  chain left {{
    type filter hook postrouting priority 300; policy accept;
    oifname "wan" ip daddr {outside} ct direction original counter name outside
  }}
}}
table ip services {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr {leads_out} dnat to {outside}
  }}
}}
"""


class Attached:
    """A locked pod, with a detector behind the filter on the node's end of its link."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pod: TestPod = world.pod()
        self.outlets = Outlets(Canonical())
        self.outlets.know(Inside(CLUSTER, ()))
        outcome = world.attacher(self.outlets).bring(service("10.100.0.10"), self.pod.seen)
        assert isinstance(outcome, Done)
        world.node.run(f"ip addr add {SERVICE}/32 dev lo")
        self.taker = world.taker_of(self.pod)
        nft.load(
            DETECTOR.format(taker=self.taker, spoofed=SPOOFED, outside=OUTSIDE, leads_out=LEADS_OUT)
        )

    def send_raw(self) -> dict[str, int]:
        """Send past the lock what must not leave, and return what of it got past the filter."""
        before = self._counted()
        own = self.pod.cluster_address
        with (
            self.pod.namespace.entered(),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
        ):
            raw.bind(("eth0", 0))
            for _ in range(3):
                raw.send(self._frame(datagram(own, OUTSIDE, 9)))
                raw.send(self._frame(datagram(SPOOFED, SERVICE, 9)))
                raw.send(self._frame(datagram(own, SERVICE, 53)))
                raw.send(self._frame(IPV6, kind=0x86DD))
        after = self._counted()
        return {name: after[name] - before[name] for name in after}

    def _frame(self, packet: bytes, kind: int = 0x0800) -> bytes:
        macs = mac_of(self.world.node, self.taker) + mac_of(self.pod.namespace, "eth0")
        return macs + struct.pack("!H", kind) + packet

    def _counted(self) -> dict[str, int]:
        return {name: counter.packets for name, counter in nft.counters("inet detector").items()}


def mac_of(where: Namespace, link: str) -> bytes:
    (described,) = json.loads(where.run(f"ip -json link show {link}"))
    return bytes.fromhex(described["address"].replace(":", ""))


def checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def datagram(source: str, target: str, port: int) -> bytes:
    """Return an IPv4 packet with a UDP datagram, which needs no checksum of its own."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 36, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return header + struct.pack("!HHHH", 40000, port, 16, 0) + b"raw data"


IPV6 = (
    struct.pack("!IHBB", 0x60000000, 8, socket.IPPROTO_UDP, 64)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::5")
    + socket.inet_pton(socket.AF_INET6, "2606:4700::9")
    + struct.pack("!HHHH", 40000, 9, 8, 0xFFFF)
)


@pytest.fixture
def attached(world: World) -> Iterator[Attached]:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        yield Attached(world)


def test_a_raw_socket_walks_past_the_lock_but_not_past_the_node(attached: Attached) -> None:
    assert attached.send_raw() == {"outside": 0, "spoofed": 0, "dns": 0, "ipv6": 0}
    assert {n: c.packets for n, c in nft.counters("netdev piavpn_outlets").items()} == {
        "probe_ipv6": 0,
        "dropped_source": 3,
        "dropped_dns": 3,
        "dropped_ipv6": 3,
        "dropped_protocol": 0,
    }
    assert nft.counters("inet piavpn_outlets")["dropped_outside"].packets == 3
    # The control: the same packets, before the same detector, where the filter is not.
    attached.world.node.run(
        "nft delete table netdev piavpn_outlets; nft delete table inet piavpn_outlets"
    )
    assert attached.send_raw() == {"outside": 3, "spoofed": 3, "dns": 3, "ipv6": 3}


def test_a_pod_whose_cluster_link_has_no_end_on_the_node_is_cut_off_all_the_same(
    world: World,
) -> None:
    # As with macvlan and ipvlan: the bridge's link alone has an end there.
    pod = world.pod(cluster_network=False)
    namespaces.veth(world.node, "veth5", pod.namespace, "vpn0")
    world.node.run(f"ip link add eth0 link wan netns {pod.namespace.name} type macvlan")
    pod.run("ip link set eth0 up; ip addr add 203.0.113.5/24 dev eth0")
    pod.run("ping -c 1 -W 2 203.0.113.9")
    with world.node.entered():
        outlets.cut_off(pod.namespace.fd)
        outlets.cut_off(pod.namespace.fd)
    with pytest.raises(AssertionError):
        pod.run("ping -c 1 -W 1 203.0.113.9")
    assert "state DOWN" in world.node.run("ip link show veth5")
    pod.run("ping -c 1 -W 2 127.0.0.1")


def test_a_filter_that_was_changed_or_taken_away_is_set_again(attached: Attached) -> None:
    listing = "nft --stateless list table netdev piavpn_outlets; nft -s list table inet"
    before = attached.world.node.run(f"{listing} piavpn_outlets")
    attached.world.node.run("nft delete table netdev piavpn_outlets")
    attached.world.node.run("nft flush chain inet piavpn_outlets outgoing")
    attached.outlets.ensure()
    assert attached.world.node.run(f"{listing} piavpn_outlets") == before
    assert attached.send_raw() == {"outside": 0, "spoofed": 0, "dns": 0, "ipv6": 0}


class EndsPod(Canonical):
    """Ends a pod while the filter is being made: nodes are slow, and pods many."""

    def __init__(self, pod: TestPod) -> None:
        super().__init__()
        self._pod = pod

    def is_intact(self, table: str, there: str | None, ruleset: str) -> bool:
        self._pod.run("ip link del eth0", check=False)
        return super().is_intact(table, there, ruleset)


def test_a_pod_that_ends_meanwhile_does_not_hold_up_the_others_filter(attached: Attached) -> None:
    ending = attached.world.pod()
    attacher = attached.world.attacher(attached.outlets)
    assert isinstance(attacher.bring(service("10.100.0.11"), ending.seen), Done)
    attached.world.node.run("nft delete table netdev piavpn_outlets")
    slow = Outlets(EndsPod(ending))
    slow.know(Inside(CLUSTER, ()))
    slow.ensure()
    assert attached.send_raw() == {"outside": 0, "spoofed": 0, "dns": 0, "ipv6": 0}


def test_a_filter_that_is_right_is_left_alone(attached: Attached) -> None:
    attached.send_raw()
    attached.outlets.ensure()
    assert nft.counters("netdev piavpn_outlets")["dropped_source"].packets == 3


UNTRANSLATED = """
table inet untranslated {
  counter left { }
  chain left {
    type filter hook postrouting priority 300; policy accept;
    oifname "wan" ip daddr 10.96.0.0/12 counter name left
  }
}
"""


def test_a_services_address_that_nobody_translates_does_not_leave_the_node(
    attached: Attached,
) -> None:
    def left() -> int:
        before = nft.counters("inet untranslated")["left"].packets
        with (
            attached.pod.namespace.entered(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
        ):
            out.sendto(b"anybody?", ("10.96.0.77", 9))
        return nft.counters("inet untranslated")["left"].packets - before

    nft.load(UNTRANSLATED)
    # The control: where the agent cannot tell Services from pods. Outside sends it back and forth.
    assert left() >= 1
    attached.outlets.know(Inside(CLUSTER, (), (IPv4Network("10.96.0.0/12"),)))
    attached.outlets.ensure()
    assert left() == 0
    assert nft.counters("inet piavpn_outlets")["dropped_untranslated"].packets >= 1


def test_each_pod_has_its_own_address_and_the_last_one_takes_the_filter_along(
    attached: Attached,
) -> None:
    other = attached.world.pod()
    attacher = attached.world.attacher(attached.outlets)
    assert isinstance(attacher.bring(service("10.100.0.11"), other.seen), Done)
    assert '"veth5" . 10.244.0.5,\n\t\t\t     "veth6" . 10.244.0.6' in attached.world.node.run(
        "nft list set netdev piavpn_outlets own"
    )
    attached.pod.run("ip link del eth0")
    attached.outlets.ensure()
    assert "veth5" not in attached.world.node.run("nft list table netdev piavpn_outlets")
    other.run("ip link del eth0")
    attached.outlets.ensure()
    assert "piavpn_outlets" not in attached.world.node.run("nft list tables")


@contextlib.contextmanager
def echo(where: Namespace, kind: int, address: str, port: int = 7) -> Iterator[None]:
    """Answer once."""
    with where.entered():
        server = socket.socket(socket.AF_INET, kind)
    with server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.settimeout(5)
        if kind == socket.SOCK_STREAM:
            server.listen()
        thread = threading.Thread(target=_answer, args=(server, kind))
        thread.start()
        try:
            yield
        finally:
            thread.join()


def _answer(server: socket.socket, kind: int) -> None:
    with contextlib.suppress(TimeoutError):
        if kind == socket.SOCK_DGRAM:
            server.sendto(*server.recvfrom(100))
            return
        connection, _ = server.accept()
        with connection:
            connection.sendall(connection.recv(100))


def ask(where: Namespace, kind: int, address: str, port: int = 7) -> bytes:
    with where.entered(), socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(2)
        client.connect((address, port))
        client.send(b"hello")
        return client.recv(100)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_what_the_cluster_and_the_lan_may_do_passes(attached: Attached, kind: int) -> None:
    world, pod = attached.world, attached.pod
    elsewhere = world.pod()
    for server, address, client in (
        (world.node, SERVICE, pod.namespace),
        (elsewhere.namespace, elsewhere.cluster_address, pod.namespace),
        (pod.namespace, pod.cluster_address, elsewhere.namespace),
        (pod.namespace, pod.cluster_address, world.node),
        (pod.namespace, pod.cluster_address, world.outside),
    ):
        with echo(server, kind, "0.0.0.0"):
            assert ask(client, kind, address) == b"hello"


def test_a_service_that_leads_out_of_the_cluster_does_not_but_one_on_a_node_does(
    attached: Attached,
) -> None:
    with echo(attached.world.outside, socket.SOCK_STREAM, "0.0.0.0"):
        with pytest.raises(TimeoutError):
            ask(attached.pod.namespace, socket.SOCK_STREAM, LEADS_OUT)
        assert nft.counters("inet piavpn_outlets")["dropped_outside"].packets >= 1
        attached.outlets.know(Inside(CLUSTER, (IPv4Address(OUTSIDE),)))
        attached.outlets.ensure()
        assert ask(attached.pod.namespace, socket.SOCK_STREAM, LEADS_OUT) == b"hello"
    # The node is reached by that Service alone.
    assert attached.send_raw()["outside"] == 0


MASQUERADE = """
table ip source_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" masquerade
  }
}
"""


def test_what_is_sent_on_without_being_forwarded_does_not_leave_either(attached: Attached) -> None:
    # So it is where kube-proxy uses IPVS: the hook in forwarding sees none of it.
    nft.load(MASQUERADE)
    node = attached.world.node
    node.run("nft flush chain inet piavpn_outlets forwarded")
    with echo(attached.world.outside, socket.SOCK_STREAM, "0.0.0.0"):
        with pytest.raises(TimeoutError):
            ask(attached.pod.namespace, socket.SOCK_STREAM, LEADS_OUT)
        assert nft.counters("inet piavpn_outlets")["dropped_outside"].packets >= 1
        # The control: without the other hook, too, it gets there.
        node.run("nft flush chain inet piavpn_outlets leaving")
        assert ask(attached.pod.namespace, socket.SOCK_STREAM, LEADS_OUT) == b"hello"


HIDDEN_RESOLVER = "10.96.0.30"


@pytest.mark.parametrize("port", [53, 853])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_a_service_hides_no_resolver_behind_another_port(
    attached: Attached, kind: int, port: int
) -> None:
    node, asking = attached.world.node, attached.pod.namespace
    resolver = attached.world.pod()
    nft.load(
        f"""
        table ip hidden {{
          chain prerouting {{
            type nat hook prerouting priority dstnat; policy accept;
            ip daddr {HIDDEN_RESOLVER} meta l4proto {{ tcp, udp }} th dport 5300 \
              dnat to {resolver.cluster_address}:{port}
          }}
        }}
        """
    )
    with echo(resolver.namespace, kind, "0.0.0.0", port):
        with pytest.raises(TimeoutError):
            ask(asking, kind, HIDDEN_RESOLVER, 5300)
        assert nft.counters("inet piavpn_outlets")["dropped_translated_dns"].packets >= 1
        # The control: without the filter it answers.
        node.run("nft flush chain inet piavpn_outlets outgoing")
        assert ask(asking, kind, HIDDEN_RESOLVER, 5300) == b"hello"
