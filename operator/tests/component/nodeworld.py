"""A node as the agent finds it: a cluster network, an outside world, and pods with sandboxes.

    outside (203.0.113.9) -- wan -- node -- veth -- pod eth0 (10.244.0.5)

As on Calico, the node answers ARP for everything on the pods' links, so that a packet that leaves
a pod by eth0 for an outside address does get there, unless something stops it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import namespaces
from namespaces import Namespace

from piavpn.net import netns
from piavpn.node import outlet, sandbox
from piavpn.node.alarms import Alarms
from piavpn.node.attach import TEARDOWN_SECONDS, Attacher
from piavpn.node.canonical import Canonical
from piavpn.node.leaktests import LeakTests
from piavpn.node.links import Links
from piavpn.node.model import Network, PodPlan, Role
from piavpn.node.outlets import Outlets

OUTSIDE = "203.0.113.9"
CLUSTER = (IPv4Network("10.96.0.0/12"), IPv4Network("10.244.0.0/16"))
NETWORK = Network(
    vpn="home",
    bridge="br-home",
    subnet=IPv4Network("10.100.0.0/24"),
    host=IPv4Address("10.100.0.1"),
    gateway=IPv4Address("10.100.0.2"),
    mtu=1420,
)


@dataclasses.dataclass(frozen=True)
class TestPod:
    """A pod's namespace with its link to the cluster, and its sandbox process."""

    __test__ = False
    namespace: Namespace
    seen: sandbox.Sandbox
    cluster_address: str

    def run(self, command: str, *, check: bool = True) -> str:
        return self.namespace.run(command, check=check)


def service(address: str) -> PodPlan:
    return PodPlan(Role.SERVICE, NETWORK, IPv4Address(address), CLUSTER)


GATEWAY = PodPlan(Role.GATEWAY, NETWORK, NETWORK.gateway, CLUSTER)


class World:
    """A node with an outside world; pods are added as a test wants them."""

    def __init__(
        self, new_namespace: Callable[[str], Namespace], stack: contextlib.ExitStack
    ) -> None:
        self._new_namespace = new_namespace
        self._stack = stack
        self._pods = 0
        self._pauses: dict[int, subprocess.Popen[str]] = {}
        self.node = new_namespace("node")
        self.outside = new_namespace("outside")
        # Else a link's address changes by itself a moment later: it is tentative at first.
        self.node.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")
        namespaces.veth(self.node, "wan", self.outside, "eth0")
        self.node.run("ip addr add 203.0.113.1/24 dev wan; sysctl -qw net.ipv4.ip_forward=1")
        # A node answers ARP for addresses that it would route elsewhere only.
        self.node.run(f"ip route add default via {OUTSIDE}")
        self.outside.run(f"ip addr add {OUTSIDE}/24 dev eth0; ip route add default via 203.0.113.1")

    def pod(self, *, cluster_network: bool = True) -> TestPod:
        """Add a pod as the cluster's own CNI plugin leaves it, with a running process."""
        self._pods += 1
        number = 4 + self._pods
        address = f"10.244.0.{number}"
        namespace = self._new_namespace(f"pod{number}")
        made = TestPod(namespace, self._sandbox(namespace), address)
        if cluster_network:
            self.join_cluster(made)
        return made

    def join_cluster(self, pod: TestPod) -> None:
        """Do what the cluster's CNI plugin does."""
        link = f"veth{pod.cluster_address.rpartition('.')[2]}"
        namespaces.veth(self.node, link, pod.namespace, "eth0")
        pod.run(f"ip addr add {pod.cluster_address}/32 dev eth0")
        pod.run("ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1")
        self.node.run(f"ip route add {pod.cluster_address} dev {link}")
        self.node.run(f"sysctl -qw net.ipv4.conf.{link}.proxy_arp=1")
        self.node.run(f"sysctl -qw net.ipv4.neigh.{link}.proxy_delay=0")

    def end_of(self, pod: TestPod) -> str:
        """Return the name of the node's end of the pod's link to the cluster."""
        (described,) = json.loads(pod.run("ip -json link show eth0"))
        found = json.loads(self.node.run("ip -json link"))
        (name,) = (it["ifname"] for it in found if it["ifindex"] == described["link_index"])
        return str(name)

    def taker_of(self, pod: TestPod) -> str:
        """Return the name of the node's link that takes what the pod sends out of its network."""
        return self.end_of(pod)

    def attacher(
        self, outlets: Outlets | None = None, teardown_seconds: float = TEARDOWN_SECONDS
    ) -> Attacher:
        """Return what attaches pods, as an agent has it that was just started."""
        known = Canonical()
        if outlets is None:
            outlets = Outlets(known)
            outlets.know(outlet.Inside(CLUSTER, ()))
        alarms = Alarms(threading.Event())
        self._stack.callback(alarms.close)
        wireguard = Links(pathlib.Path("/nonexistent"))
        tests = LeakTests(alarms, threading.Event())
        return Attacher(known, wireguard, outlets, alarms, tests, teardown_seconds=teardown_seconds)

    def end(self, pod: TestPod) -> None:
        """End the pod's sandbox process."""
        pause = self._pauses[pod.seen.pid]
        pause.kill()
        pause.wait()

    def _sandbox(self, namespace: Namespace) -> sandbox.Sandbox:
        pause = self._stack.enter_context(namespace.process("sleep", "1000"))
        self._pauses[pause.pid] = pause
        stat = pathlib.Path(f"/proc/{pause.pid}/stat").read_text()
        started = int(stat.rpartition(")")[2].split()[19])
        return sandbox.Sandbox(str(uuid.uuid4()), netns.inode(namespace.fd), pause.pid, started)


@contextlib.contextmanager
def world(new_namespace: Callable[[str], Namespace]) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(new_namespace, stack)


def add_tunnels(pod: TestPod) -> None:
    """Put links where a gateway has its WireGuard links."""
    pod.run("ip link add piaw0 type veth peer name piaw1; ip link set piaw0 up")
    pod.run("ip link set piaw1 up")
