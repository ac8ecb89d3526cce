from __future__ import annotations

import dataclasses
import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address

import namespaces
import nodeworld
import pytest
from nodeworld import GATEWAY, NETWORK, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, guard, model, ports
from piavpn.node.attach import Attacher, Done
from piavpn.node.canonical import Canonical
from piavpn.node.decide import Step

VICTIM, ATTACKER = "10.100.0.10", "10.100.0.11"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
ARP, IPV4, VLAN, IPV6 = 0x0806, 0x0800, 0x8100, 0x86DD

# What comes to a pod over the bridge in the services' names, by what it claims to be. IPv6 is the
# attacker's alone: the node's end of a pod's own link says something in IPv6 as it comes up.
DETECTOR = """
table netdev detector {
  counter claimed_arp { }
  counter claimed_ip { }
  counter other { }
  chain seen {
    type filter hook ingress device "vpn0" priority -500; policy accept;
    ether saddr 02:76:0a:64:00:0b arp saddr ip { 10.100.0.10, 10.100.0.2 } counter name claimed_arp
    ip saddr 10.100.0.10 counter name claimed_ip
    ether saddr 02:76:0a:64:00:0b meta protocol ip6 counter name other
  }
}
"""


def mac(address: str) -> bytes:
    return bytes.fromhex(model.mac_of(IPv4Address(address)).replace(":", ""))


def frame(kind: int, payload: bytes, *, source: str = ATTACKER) -> bytes:
    return (
        bytes.fromhex(EVERYBODY.replace(":", "")) + mac(source) + struct.pack("!H", kind) + payload
    )


def arp_claim(address: str) -> bytes:
    """Say to everybody: `address` is at the attacker's MAC."""
    own, claimed = mac(ATTACKER), IPv4Address(address).packed
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, 2) + own + claimed + own + claimed


def datagram(source: str) -> bytes:
    """Return an empty UDP datagram to the gateway; a wrong checksum would get it dropped."""
    addresses = IPv4Address(source).packed + IPv4Address("10.100.0.2").packed
    words = struct.unpack(
        "!10H", struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + addresses
    )
    total = sum(words)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, checksum) + addresses
    return head + struct.pack("!HHHH", 9, 9, 8, 0)


SPOOFED = {
    "ARP claim of another service": frame(ARP, arp_claim(VICTIM)),
    "ARP claim of the gateway": frame(ARP, arp_claim("10.100.0.2")),
    "IP in another service's name": frame(IPV4, datagram(VICTIM)),
    "another service's MAC": frame(IPV4, datagram(VICTIM), source=VICTIM),
    "IP in another service's name in a VLAN": frame(
        VLAN, struct.pack("!HH", 0, IPV4) + datagram(VICTIM)
    ),
    "IPv6": frame(IPV6, struct.pack("!IHBB", 6 << 28, 0, 59, 1) + b"\xfe\x80" + b"\0" * 30),
}


class Attack:
    """Two services and a gateway on a bridge; one of the services has raw sockets."""

    def __init__(self, world: World, attacher: Attacher) -> None:
        self.world, self._attacher = world, attacher
        self.victim, self.attacker, self.gateway = world.pod(), world.pod(), world.pod()
        nodeworld.add_tunnels(self.gateway)
        plans = (service(VICTIM), service(ATTACKER), GATEWAY)
        for plan, pod in zip(plans, (self.victim, self.attacker, self.gateway), strict=True):
            assert isinstance(attacher.bring(plan, pod.seen), Done)
        for pod in (self.victim, self.gateway):
            with pod.namespace.entered():
                nft.load(DETECTOR)

    def isolate(self, *, isolated: bool) -> tuple[Step, ...]:
        """Keep the services apart, or let them talk; return what it took for one of them."""
        network = dataclasses.replace(NETWORK, service_isolation=isolated)
        taken: tuple[Step, ...] = ()
        for address, pod in ((VICTIM, self.victim), (ATTACKER, self.attacker)):
            plan = dataclasses.replace(service(address), network=network)
            outcome = self._attacher.bring(plan, pod.seen)
            assert isinstance(outcome, Done)
            taken = outcome.steps
        return taken

    def run(self, target: TestPod | None = None) -> dict[str, int]:
        """Send every spoofed frame; return what came to the target, else the gateway, of each."""
        seen_by = target or self.gateway
        before = counted(seen_by)
        with self.attacker.namespace.entered(), raw_socket() as out:
            for spoofed in SPOOFED.values():
                out.send(spoofed)
        after = counted(seen_by)
        return {name: after[name] - before[name] for name in after}


def counted(pod: TestPod) -> dict[str, int]:
    with pod.namespace.entered():
        return {n: c.packets for n, c in nft.counters("netdev detector").items()}


def raw_socket() -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    made.bind(("vpn0", 0))
    return made


@pytest.fixture
def attack(world: World) -> Iterator[Attack]:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        yield Attack(world, world.attacher())


def reaches_gateway(pod: TestPod) -> bool:
    return reaches(pod, "10.100.0.2")


def reaches(pod: TestPod, address: str) -> bool:
    with pod.namespace.entered():
        done = subprocess.run(
            ["ping", "-c", "1", "-W", "1", address], capture_output=True, check=False
        )
    return done.returncode == 0


def test_nobody_speaks_in_anothers_name(attack: Attack) -> None:
    assert attack.run() == {"claimed_arp": 0, "claimed_ip": 0, "other": 0}
    with attack.world.node.entered():
        counted = nft.counters(guard.TABLE)
    assert counted["dropped_spoofed"].packets == 4
    assert counted["dropped_protocol"].packets == 2
    assert reaches_gateway(attack.victim)
    assert reaches_gateway(attack.attacker)
    # The control: the same frames, seen by the same detector, where the guard is not. (The kernel
    # takes the tag of VLAN 0 off: such a frame is plain IP.)
    attack.world.node.run("nft delete table bridge piavpn_ports")
    assert attack.run() == {"claimed_arp": 2, "claimed_ip": 3, "other": 1}


def test_services_reach_each_other_while_their_vpn_lets_them(attack: Attack) -> None:
    assert not reaches(attack.attacker, VICTIM)
    assert attack.isolate(isolated=False) == (Step.ISOLATION,)
    assert reaches(attack.attacker, VICTIM)
    assert attack.isolate(isolated=False) == ()
    assert attack.isolate(isolated=True) == (Step.ISOLATION,)
    assert not reaches(attack.attacker, VICTIM)
    assert reaches_gateway(attack.attacker)


def test_services_that_may_talk_speak_in_no_other_name_either(attack: Attack) -> None:
    attack.isolate(isolated=False)
    nothing = {"claimed_arp": 0, "claimed_ip": 0, "other": 0}
    assert attack.run() == nothing
    assert attack.run(attack.victim) == nothing
    assert reaches(attack.victim, ATTACKER)
    # The control: the same frames, seen by the same detectors, where the guard is not.
    attack.world.node.run("nft delete table bridge piavpn_ports")
    assert attack.run(attack.victim) == {"claimed_arp": 2, "claimed_ip": 3, "other": 1}


def test_what_the_gateway_forwards_from_the_internet_passes(attack: Attack) -> None:
    # The reply comes from an address that is not the gateway's own.
    attack.gateway.run("ip addr add 198.51.100.7/32 dev piaw0")
    reply = attack.victim.run("ping -c 1 -W 2 198.51.100.7")
    assert "1 received" in reply
    # Not so from a service.
    attack.attacker.run("ip addr add 198.51.100.8/32 dev lo; nft delete table inet piavpn_lock")
    refused = attack.attacker.run("ping -c 1 -W 1 -I 198.51.100.8 10.100.0.2", check=False)
    assert "0 received" in refused


def test_a_port_that_others_put_on_the_bridge_is_closed(attack: Attack) -> None:
    node = attack.world.node
    node.run("ip link add stranger type veth peer name inside; ip link set stranger master br-home")
    with node.entered():
        ports.ensure_guard(Canonical())
    listed = node.run("nft list set bridge piavpn_ports ports")
    assert '"stranger"' in listed
    assert "stranger" not in node.run("nft list set bridge piavpn_ports own")
