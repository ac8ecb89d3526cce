"""A VPN across nodes: its bridges are one network, and no less tight than one bridge."""

from __future__ import annotations

import contextlib
import ipaddress
import pathlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import crossnode
import pytest
from crossnode import GATEWAY, Cluster, Member
from namespaces import Namespace, eventually
from pyroute2 import IPRoute

from piavpn.node import model
from piavpn.node.host import Problems

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


def mac(address: str) -> bytes:
    return bytes.fromhex(model.mac_of(ipaddress.IPv4Address(address)).replace(":", ""))


def arp_claim(sender: str, claimed: str) -> bytes:
    """Return a frame that says to everybody: `claimed` is at the MAC address of `sender`."""
    own, address = mac(sender), ipaddress.IPv4Address(claimed).packed
    said = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + own + address + own + address
    return b"\xff" * 6 + own + struct.pack("!H", 0x0806) + said


def send_frame(member: Member, frame: bytes) -> None:
    with member.test_pod.namespace.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.bind(("vpn0", 0))
        raw.send(frame)


def encapsulated(frame: bytes) -> bytes:
    return struct.pack("!BxxxI", 0x08, 0x640000 << 8) + frame


def send_datagram(where: Namespace, node: str, payload: bytes) -> None:
    with where.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(payload, (node, 14789))


def neighbour(member: Member, address: str) -> str:
    """Return the MAC address that the pod takes for that of `address`."""
    said = member.run(f"ip neigh show {address} dev vpn0")
    return said.partition("lladdr ")[2].partition(" ")[0]


def test_nobody_on_another_node_speaks_in_anothers_name(vpn: Vpn) -> None:
    """By the guard of the sender's node, and by that of the receiver's, each alone."""
    assert vpn.gateway.reaches(FAR)
    known = neighbour(vpn.gateway, FAR)

    def claim() -> None:
        send_frame(vpn.there, arp_claim(THERE, FAR))
        send_frame(vpn.there, arp_claim(FAR, FAR))
        assert vpn.there.reaches(GATEWAY)

    dropped = vpn.b.counted("bridge piavpn_ports", "dropped_spoofed")
    claim()
    assert vpn.b.counted("bridge piavpn_ports", "dropped_spoofed") == dropped + 2
    assert neighbour(vpn.gateway, FAR) == known
    # The sender's node lets all pass: what the receiver's node knows of its peers still counts.
    vpn.b.run("nft delete table bridge piavpn_ports")
    dropped = vpn.a.counted("bridge piavpn_ports", "dropped_spoofed")
    claim()
    assert vpn.a.counted("bridge piavpn_ports", "dropped_spoofed") == dropped + 1
    assert neighbour(vpn.gateway, FAR) == known
    # The control: the same frames where neither is.
    vpn.a.run("nft delete table bridge piavpn_ports")

    def is_poisoned() -> bool:
        send_frame(vpn.there, arp_claim(THERE, FAR))
        return neighbour(vpn.gateway, FAR) == model.mac_of(ipaddress.IPv4Address(THERE))

    eventually(is_poisoned, what="the false word")


def test_the_host_address_is_each_nodes_own(vpn: Vpn) -> None:
    assert vpn.gateway.reaches("10.100.0.1") is False
    assert neighbour(vpn.gateway, "10.100.0.1") == "02:76:0a:64:00:01"
    assert vpn.b.counted("bridge piavpn_ports", "dropped_host") == 0
    # A node that sends such questions nevertheless is answered by none.
    vpn.a.run("nft delete chain bridge piavpn_ports outgoing")
    vpn.gateway.run("ip neigh flush dev vpn0")
    assert vpn.gateway.reaches("10.100.0.1") is False
    assert vpn.b.counted("bridge piavpn_ports", "dropped_host") > 0
    assert vpn.a.run("bridge fdb show dev vx-home").count("02:76:0a:64:00:01") == 0


def test_the_node_says_nothing_in_its_own_name_to_bridges_of_other_nodes(vpn: Vpn) -> None:
    before = vpn.cluster.seen_between()
    assert "0 received" in vpn.a.run(f"ping -c 1 -W 1 {FAR}", check=False)
    assert vpn.cluster.seen_between() == before
    # The control: the question leaves where that chain is not.
    vpn.a.run("nft delete chain bridge piavpn_ports outgoing")
    vpn.a.run(f"ping -c 1 -W 1 {FAR}", check=False)
    assert vpn.cluster.seen_between()["asked_by_hosts"] > before["asked_by_hosts"]


def test_frames_of_strangers_are_refused(
    vpn: Vpn, new_namespace: Callable[[str], Namespace]
) -> None:
    """Of a computer on the nodes' network, of a pod, and not of a node."""
    stranger = new_namespace("stranger")
    vpn.cluster.join(stranger, "192.0.2.66")
    frame = encapsulated(arp_claim(FAR, FAR))
    vpn.gateway.run(f"ip neigh replace {FAR} lladdr 02:00:00:00:00:01 dev vpn0 nud stale")
    send_datagram(stranger, "192.0.2.1", frame)
    eventually(lambda: vpn.a.counted("inet piavpn_host", "dropped_overlay") == 1, what="the drop")
    assert neighbour(vpn.gateway, FAR) == "02:00:00:00:00:01"
    pod = vpn.b.world.pod()
    vpn.b.run(
        "nft 'table ip nat { chain out {"
        " type nat hook postrouting priority srcnat; oifname under masquerade; }; }'"
    )
    send_datagram(pod.namespace, "192.0.2.1", frame)
    assert vpn.b.counted("inet piavpn_host", "dropped_overlay") == 1
    assert neighbour(vpn.gateway, FAR) == "02:00:00:00:00:01"
    # The control: the same frame where the filter is not.
    vpn.a.run("nft delete table inet piavpn_host")
    send_datagram(stranger, "192.0.2.1", frame)
    eventually(
        lambda: neighbour(vpn.gateway, FAR) == model.mac_of(ipaddress.IPv4Address(FAR)),
        what="the stranger's word for it",
    )


def test_cut_from_the_gateway_is_cut_from_everything(vpn: Vpn) -> None:
    vpn.cluster.members.remove(vpn.gateway)
    vpn.cluster.settle()
    before = vpn.cluster.seen_between()
    assert vpn.b.run("ip -o link show type vxlan") == ""
    assert not vpn.there.reaches(GATEWAY)
    assert not vpn.there.reaches(INTERNET)
    assert vpn.cluster.seen_between() == before
    # The control.
    vpn.cluster.members.append(vpn.gateway)
    vpn.cluster.settle()
    assert vpn.there.reaches(INTERNET)
    assert vpn.cluster.seen_between() != before


def test_without_its_entry_nothing_leaves_the_node(vpn: Vpn) -> None:
    """Not even what has no entry of its own: unknown addresses and groups are flooded nowhere."""
    assert vpn.there.reaches(GATEWAY)
    before = vpn.cluster.seen_between()
    vpn.there.run("ip neigh add 10.100.0.77 lladdr 02:76:0a:64:00:4d dev vpn0")
    assert not vpn.there.reaches("10.100.0.77")
    vpn.there.run("ping -c 1 -W 1 -I vpn0 224.0.0.1", check=False)
    assert vpn.cluster.seen_between() == before
    vpn.b.run("bridge fdb del 02:76:0a:64:00:02 dev vx-home master")
    assert not vpn.there.reaches(GATEWAY)
    assert vpn.cluster.seen_between() == before
    # The agent's next pass puts it right.
    vpn.cluster.settle()
    assert vpn.there.reaches(GATEWAY)


class Echoing(threading.Thread):
    """Says what it was told, once, on a gateway."""

    def __init__(self, gateway: Member) -> None:
        super().__init__(daemon=True)
        with gateway.test_pod.namespace.entered():
            self._listener = socket.create_server((GATEWAY, 7))

    def run(self) -> None:
        with self._listener:
            taken, _ = self._listener.accept()
            with taken, contextlib.suppress(OSError):
                while told := taken.recv(100):
                    taken.sendall(told)


def says(app: Member, gateway: Member) -> bytes:
    """Return what comes back by a new connection."""
    Echoing(gateway).start()
    with app.test_pod.namespace.entered():
        client = socket.create_connection((GATEWAY, 7), timeout=3)
    with client:
        client.sendall(b"here I am")
        return client.recv(100)


def test_apps_follow_a_gateway_that_moves_without_being_touched(vpn: Vpn) -> None:
    assert says(vpn.there, vpn.gateway) == b"here I am"
    links = [app.run("ip -o link show vpn0") for app in (vpn.here, vpn.there, vpn.far)]
    vpn.cluster.members.remove(vpn.gateway)
    vpn.cluster.settle()
    moved = vpn.add_gateway(vpn.b)
    vpn.cluster.settle()
    for app in (vpn.here, vpn.there, vpn.far):
        assert says(app, moved) == b"here I am"
        assert moved.reaches(app.address)
    for one, other in ((HERE, vpn.there), (THERE, vpn.far), (FAR, vpn.here)):
        assert not other.reaches(one)
    assert links == [app.run("ip -o link show vpn0") for app in (vpn.here, vpn.there, vpn.far)]


def test_a_restarted_agent_takes_over_what_it_finds_and_writes_nothing(vpn: Vpn) -> None:
    for node in (vpn.a, vpn.b, vpn.c):
        node.restart()
        with node.world.node.entered(), IPRoute() as heard:
            heard.bind()
            assert vpn.cluster.pass_of(node) == Problems()
            # The control: of this much is told.
            node.run("ip link add marker type bridge")
            (marker,) = heard.link_lookup(ifname="marker")
            told = list(heard.get())
        assert {item.get("ifindex", item.get("index")) for item in told} == {marker}
        node.run("ip link del marker")
    assert vpn.far.reaches(INTERNET)


def test_what_was_changed_by_others_is_put_right(vpn: Vpn) -> None:
    for damage in (
        "ip link set vx-home down",
        "ip link set vx-home nomaster",
        "ip link set vx-home mtu 1000",
        "bridge link set dev vx-home learning on flood on",
        "bridge fdb del 02:76:0a:64:00:02 dev vx-home",
        "bridge fdb replace 02:76:0a:64:00:02 dev vx-home dst 192.0.2.3",
        "bridge fdb append 00:00:00:00:00:00 dev vx-home dst 192.0.2.66",
        "bridge fdb add 02:76:0a:64:00:0c dev vx-home dst 192.0.2.3",
        "ip link del vx-home",
    ):
        intact = described(vpn.b)
        vpn.b.run(damage)
        assert described(vpn.b) != intact
        vpn.cluster.settle()
        assert described(vpn.b) == intact
        assert vpn.there.reaches(INTERNET)


def described(node: crossnode.Node) -> tuple[str, ...]:
    """Return what is there, but for what differs from link to link."""
    link = node.run(
        "ip -d -o link show dev vx-home | sed 's/^[0-9]*//; s/ether [0-9a-f:]*//'", check=False
    )
    entries = node.run(
        "bridge fdb show dev vx-home | grep -v 'master br-home permanent'", check=False
    )
    return link, *sorted(entries.splitlines())


def test_a_vpn_on_one_node_again_leaves_nothing_of_the_others(vpn: Vpn) -> None:
    for app in (vpn.there, vpn.far):
        vpn.cluster.remove(app)
    vpn.cluster.settle()
    for node in (vpn.a, vpn.b, vpn.c):
        assert node.run("ip -o link show type vxlan") == ""
    assert "overlay" not in vpn.a.run("nft list table inet piavpn_host")
    assert "vx-home" not in vpn.a.run("nft list table bridge piavpn_ports")
    assert vpn.here.reaches(INTERNET)
    for node in (vpn.b, vpn.c):
        assert node.run("nft list tables; ip -o link show type bridge") == ""


def test_links_of_others_are_let_be(vpn: Vpn) -> None:
    vpn.b.run("ip link add flannel.1 type vxlan id 1 dstport 8472; ip link set flannel.1 up")
    vpn.b.run("bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst 192.0.2.9")
    vpn.b.run("ip link add six type vxlan id 2 dstport 4789 local ::1")
    vpn.b.run("bridge fdb append 00:00:00:00:00:00 dev six dst 2001:db8::9")
    before = vpn.b.run("bridge fdb show dev flannel.1; bridge fdb show dev six")
    vpn.b.run("ip link set vx-home down")
    vpn.cluster.settle()
    assert vpn.there.reaches(GATEWAY)
    assert vpn.b.run("bridge fdb show dev flannel.1; bridge fdb show dev six") == before


def test_a_link_in_the_way_is_told(vpn: Vpn) -> None:
    vpn.b.run("ip link del vx-home; ip link add other type vxlan id 0x640000 dstport 14789")
    problem = vpn.cluster.pass_of(vpn.b).overlays["home"]
    assert problem.reason == "OverlayFailed"
    assert "another VXLAN link of UDP port 14789 and VNI 6553600" in problem.message
    vpn.b.run("ip link del other")
    vpn.cluster.settle()
    assert vpn.there.reaches(GATEWAY)
