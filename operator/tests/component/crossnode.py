"""Several nodes on one network between them, each with its agent's own parts, and a VPN across.

node a (192.0.2.1) -- between -- node b (192.0.2.2), node c (192.0.2.3), ...
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import namespaces
import nodeworld
from namespaces import Namespace
from nodeworld import CLUSTER, TestPod, World

from piavpn.api import piavpns
from piavpn.api.piavpns import NodeEncryption
from piavpn.net import nft
from piavpn.node import plans
from piavpn.node.attach import Attacher, Done
from piavpn.node.canonical import Canonical
from piavpn.node.host import Host, Problems
from piavpn.node.links import Links
from piavpn.node.model import Owner, Pod, PodPlan, Role
from piavpn.node.outlets import Outlets
from piavpn.node.plans import NodePlan, RemotePod, Snapshot

GATEWAY = "10.100.0.2"
UPLINK_MTU = 1500
_OWN_NETWORK = piavpns.NetworkStatus(
    subnet=nodeworld.NETWORK.subnet,
    bridge="br-home",
    host_address=IPv4Address("10.100.0.1"),
    gateway_address=IPv4Address(GATEWAY),
)
# What passes between the nodes, by what it is.
_DETECTOR = """
table bridge detector {
  set nodes { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 }; }
  counter between_bridges { }
  counter encrypted { }
  counter asked_by_hosts { }
  counter other { }
  chain seen {
    type filter hook forward priority 0; policy accept;
    ether type arp accept
    # ARP in VXLAN: of 10.100.0.1, and of pods, who also ask for what they know, at any time.
    ip saddr @nodes ip daddr @nodes udp dport 14789 @th,224,16 0x0806 @th,352,32 0x0a640001 \
counter name asked_by_hosts accept
    ip saddr @nodes ip daddr @nodes udp dport 14789 @th,224,16 0x0806 accept
    ip saddr @nodes ip daddr @nodes udp dport 14789 counter name between_bridges accept
    ip saddr @nodes ip daddr @nodes udp dport 14790 counter name encrypted accept
    counter name other
  }
}
"""


@dataclasses.dataclass
class Member:
    """A pod of the VPN."""

    pod: Pod
    node: Node
    test_pod: TestPod

    @property
    def address(self) -> str:
        return str(self.pod.address)

    def run(self, command: str, *, check: bool = True) -> str:
        return self.test_pod.run(command, check=check)

    def reaches(self, address: str, *, options: str = "") -> bool:
        """Tell whether an echo comes back of three: the first may be lost while ARP asks."""
        with self.test_pod.namespace.entered():
            words = ["ping", "-c", "3", "-i", "0.2", "-W", "1", *options.split(), address]
            return not subprocess.run(words, capture_output=True, check=False).returncode


class Node:
    """A node with what its agent makes and attaches by."""

    def __init__(self, name: str, world: World, address: str, directory: pathlib.Path) -> None:
        self.name, self.world, self.address = name, world, IPv4Address(address)
        self.attacher: Attacher
        self.host: Host
        self._directory = directory
        self._cgroups = directory.parent / "cgroups"
        self._cgroups.mkdir(exist_ok=True)
        directory.mkdir(exist_ok=True)
        self._makers: list[Links] = []
        self.start()

    def run(self, command: str, *, check: bool = True) -> str:
        return self.world.node.run(command, check=check)

    def restart(self) -> None:
        """End the agent and start another, which knows nothing yet."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the agent."""
        self.host.stop()

    def start(self) -> None:
        """Start an agent."""
        with self.world.node.entered():
            known = Canonical()
            outlets = Outlets(known)
            links = Links(self._cgroups)
            self._makers.append(links)
            self.host = Host(known, links, outlets, self._directory, removal_seconds=0)
            self.attacher = self.world.attacher(outlets)

    def end(self) -> None:
        """End the agent, and the programs that would outlive it."""
        self.host.stop()
        with self.world.node.entered():
            self.host.mesh.remove()
        namespaces.eventually(
            lambda: not any(maker.reap() for maker in self._makers), what="wireguard-go ends"
        )

    def counted(self, table: str, counter: str) -> int:
        with self.world.node.entered():
            return nft.counters(table)[counter].packets


class Cluster:
    """The nodes, the pods on them, and what the API would say of both."""

    def __init__(
        self,
        new_namespace: Callable[[str], Namespace],
        stack: contextlib.ExitStack,
        directory: pathlib.Path,
    ) -> None:
        self.between = new_namespace("between")
        self.between.run("ip link add switch type bridge; ip link set switch up")
        with self.between.entered():
            nft.load(_DETECTOR)
        self.isolation = True
        self.encryption = NodeEncryption.NONE
        self.keyless: set[str] = set()
        """The nodes that have published no key."""
        self.nodes: dict[str, Node] = {}
        self.members: list[Member] = []
        self._new_namespace, self._stack = new_namespace, stack
        self._directory = directory
        self._uids = itertools.count()

    def add_node(self, name: str) -> Node:
        number = len(self.nodes) + 1
        world = self._stack.enter_context(nodeworld.world(self._new_namespace))
        self.join(world.node, f"192.0.2.{number}")
        made = Node(name, world, f"192.0.2.{number}", self._directory / name)
        self._stack.callback(made.end)
        self.nodes[name] = made
        return made

    def join(self, namespace: Namespace, address: str) -> None:
        """Put a namespace on the network between the nodes."""
        port = f"p{address.rpartition('.')[2]}"
        # Else each link says something in IPv6 as it comes up.
        for end in (self.between, namespace):
            end.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        namespaces.veth(self.between, port, namespace, "under")
        self.between.run(f"ip link set {port} master switch")
        namespace.run(f"ip addr add {address}/24 dev under")
        namespace.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=0")

    def add(self, node: Node, address: str) -> Member:
        """Have the VPN's pod of that address on the node, attached by nobody yet."""
        is_gateway = address == GATEWAY
        made = node.world.pod()
        if is_gateway:
            nodeworld.add_tunnels(made)
        name = "gateway" if is_gateway else f"app{address.rpartition('.')[2]}"
        pod = Pod(
            uid=f"uid-{next(self._uids)}",
            name=name,
            namespace="piavpn-system" if is_gateway else "media",
            role=Role.GATEWAY if is_gateway else Role.SERVICE,
            vpn="home",
            owner=Owner("home") if is_gateway else Owner(name, "media"),
            address=IPv4Address(address),
            name_servers=(GATEWAY,),
        )
        member = Member(pod, node, made)
        self.members.append(member)
        return member

    def remove(self, member: Member) -> None:
        """Have the pod be no more, with its network."""
        self.members.remove(member)
        member.test_pod.run("ip link del vpn0; ip link del eth0")
        member.node.world.end(member.test_pod)

    def plan(self, node: Node) -> NodePlan:
        vpn = piavpns.PiaVpn(
            name="home",
            uid="vpn-uid",
            generation=1,
            spec=piavpns.PiaVpnSpec(
                credentials_secret_ref=piavpns.CredentialsSecretRef("pia"),
                network=piavpns.NetworkSpec(
                    service_isolation=self.isolation, node_encryption=self.encryption
                ),
            ),
            status=piavpns.PiaVpnStatus(network=_OWN_NETWORK),
        )
        here = [member for member in self.members if member.node is node]
        elsewhere = [member for member in self.members if member.node is not node]
        snapshot = Snapshot(
            vpns={"home": vpn},
            pods=tuple(member.pod for member in here),
            servers={},
            cluster=CLUSTER,
            services={member.pod.owner: member.pod.address for member in self.members},
            nodes=tuple(node.address for node in self.nodes.values()),
            node=node.address,
            elsewhere=tuple(RemotePod(member.pod, member.node.address) for member in elsewhere),
            node_keys={
                node.address: node.host.mesh.key.pair().public
                for node in self.nodes.values()
                if node.name not in self.keyless
            },
        )
        return plans.node_plan(snapshot, UPLINK_MTU)

    def settle(self) -> None:
        """Let every node's agent do all that is left to do."""
        for node in self.nodes.values():
            assert self.pass_of(node) == Problems()

    def pass_of(self, node: Node) -> Problems:
        """Let the node's agent make one pass; return what is wrong with the node."""
        plan = self.plan(node)
        with node.world.node.entered():
            problems = node.host.bring(plan)
            for member in self.members:
                if member.node is node:
                    planned = plan.pods[member.pod.uid]
                    assert isinstance(planned, PodPlan)
                    assert isinstance(node.attacher.bring(planned, member.test_pod.seen), Done)
        return problems

    def seen_between(self) -> dict[str, int]:
        """Return how many packets passed between nodes, by what they are."""
        with self.between.entered():
            return {
                name: counter.packets for name, counter in nft.counters("bridge detector").items()
            }


@contextlib.contextmanager
def cluster(
    new_namespace: Callable[[str], Namespace], directory: pathlib.Path
) -> Iterator[Cluster]:
    namespaces.cni_plugins()
    namespaces.tool("tinyproxy")
    namespaces.open_to_all(directory)  # for the proxy
    with contextlib.ExitStack() as stack:
        yield Cluster(new_namespace, stack, directory)
