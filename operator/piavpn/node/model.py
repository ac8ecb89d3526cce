"""What the node agent knows and wants, as data. Nothing here does I/O."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from datetime import datetime

from piavpn.api import names
from piavpn.net.routing import Route, Rule

_MAC_PREFIX = bytes((0x02, 0x76))
"""Of a locally administered MAC address."""
_LARGEST_VNI = 0xFFFFFF


class Role(enum.StrEnum):
    """What a confined pod is to its VPN."""

    GATEWAY = "gateway"
    SERVICE = "service"


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A VPN's own network on this node."""

    vpn: str
    bridge: str
    subnet: ipaddress.IPv4Network
    host: ipaddress.IPv4Address
    gateway: ipaddress.IPv4Address
    mtu: int
    """Of the bridge, of every `vpn0` and of the tunnel's links."""
    service_isolation: bool = True
    """Whether the bridge keeps services from reaching each other."""
    encrypted: bool = False
    """Whether what goes between nodes does by their WireGuard link."""

    def interface(self, address: ipaddress.IPv4Address) -> ipaddress.IPv4Interface:
        """Return the address with the subnet's prefix length."""
        return ipaddress.IPv4Interface(f"{address}/{self.subnet.prefixlen}")


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """What a pod is for: a custom resource, or itself, as Events about it are about that."""

    name: str
    namespace: str | None = None
    """None for a PiaVpn, which is cluster-scoped."""
    is_pod: bool = False
    """Whether it is a labelled pod itself, which no VpnServiceContainer owns."""

    @property
    def is_vpn(self) -> bool:
        """Whether it is a PiaVpn."""
        return self.namespace is None


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """What the kubelet says of the gate of a service's pod."""

    container: str = ""
    """ID of the container that runs; empty while none does."""
    passed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A confined pod of this node, as the API tells of it."""

    uid: str
    name: str
    namespace: str
    role: Role
    vpn: str
    owner: Owner
    address: ipaddress.IPv4Address | None
    """On the bridge; None where its annotation is missing or wrong."""
    ending: bool = False
    """Whether it is being deleted."""
    made_by: str = ""
    """Of a labelled pod: the UID of the controller that makes another one in its place."""
    gate: Gate = Gate()
    breach: str = ""
    """Of a service's pod: what in its spec breaks the promise; empty where nothing does."""
    name_servers: tuple[str, ...] = ()
    """Of a service's pod: all that its resolver asks."""
    port_hook: str | None = None
    """ID of the container that tells the app its port, empty while none runs; None without one."""
    leak_test_asked: datetime | None = None
    """The time at which its user asked for a leak test; None where nobody did."""


@dataclasses.dataclass(frozen=True, slots=True)
class PodPlan:
    """How a pod is to be attached and locked."""

    role: Role
    network: Network
    address: ipaddress.IPv4Address
    cluster: tuple[ipaddress.IPv4Network, ...]
    """Pod and service CIDRs."""
    bypass: tuple[ipaddress.IPv4Network, ...] = ()
    """What else the pod may reach past the tunnel, because its owner says so."""

    @property
    def direct(self) -> tuple[ipaddress.IPv4Network, ...]:
        """All that the pod may reach by the cluster's link; none of it overlaps another."""
        return tuple(ipaddress.collapse_addresses((*self.cluster, *self.bypass)))

    @property
    def mac(self) -> str:
        """The MAC address of `vpn0`: equal for equal addresses, so that ARP caches stay right."""
        return mac_of(self.address)

    @property
    def isolated(self) -> bool:
        """Whether the bridge keeps the pod's port from other isolated ones."""
        return self.role is Role.SERVICE and self.network.service_isolation

    @property
    def tunnels(self) -> tuple[str, ...]:
        """The WireGuard links that the pod must have."""
        return names.TUNNEL_LINKS if self.role is Role.GATEWAY else ()


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """A pod of a VPN on another node, as far as this node's bridge must know it."""

    role: Role
    address: ipaddress.IPv4Address
    """On the bridge."""
    node: ipaddress.IPv4Address | ipaddress.IPv6Address
    """Its node's own, or that in the mesh of nodes where the VPN is encrypted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Overlay:
    """How a VPN's bridge on this node is joined to those of other nodes: by VXLAN.

    All is known beforehand: nothing is learned, and nothing is sent to where no peer is.
    """

    network: Network
    local: ipaddress.IPv4Address | ipaddress.IPv6Address
    """This node's, of the same kind as the peers'."""
    peers: tuple[Peer, ...]
    """All that pods here may reach, and be reached by."""
    isolated: bool
    """Whether the bridge keeps them from isolated ports."""

    @property
    def device(self) -> str | None:
        """Name of the one link by which it may leave the node; None: by whatever routes say."""
        return names.NODES_LINK if self.network.encrypted else None

    @property
    def link(self) -> str:
        """Name of the VXLAN link."""
        return names.overlay_name(self.network.vpn)

    @property
    def vni(self) -> int:
        """VXLAN's number of the network: of the subnet, as no two VPNs have the same."""
        return int(self.network.subnet.network_address) & _LARGEST_VNI

    @property
    def gateway(self) -> ipaddress.IPv4Address | None:
        """The gateway's address, where that is one of the peers."""
        return next((peer.address for peer in self.peers if peer.role is Role.GATEWAY), None)

    @property
    def nodes(self) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """The nodes of the peers: where broadcasts go."""
        return frozenset(peer.node for peer in self.peers)


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterLink:
    """The pod's link to the cluster network, as the cluster's CNI plugin left it."""

    address: ipaddress.IPv4Address
    next_hop: ipaddress.IPv4Address | None
    """Of the former default route; None where that had none but went straight to the link."""


@dataclasses.dataclass(frozen=True, slots=True)
class BridgeLink:
    """The pod's link to the bridge, seen from both ends."""

    address: ipaddress.IPv4Interface | None
    mac: str
    bridge: str | None
    """None where its other end is not a port of a bridge of this node."""
    port_alias: str
    """Of its other end: whom the guard takes that for."""
    isolated: bool
    mtu: int
    """The smaller one of both ends'."""
    up: bool


@dataclasses.dataclass(frozen=True, slots=True)
class NodeEnd:
    """A link of the node whose other end is in a pod's namespace."""

    index: int
    name: str
    peer: int
    """The other end's index in the pod."""
    alias: str


@dataclasses.dataclass(frozen=True, slots=True)
class PodState:
    """What the kernel holds in a pod's network namespace."""

    cluster_link: ClusterLink | None
    """None while the cluster's CNI plugin has not set it up."""
    has_cluster_link: bool
    """Whether the link is there, set up or not."""
    bridge_link: BridgeLink | None
    lock: str | None
    """The lock's table as nft lists it; None where there is none."""
    sysctls: dict[str, str]
    routes: frozenset[Route]
    """Our own ones only."""
    rules: frozenset[Rule]
    """Our own ones only."""
    other_routes: frozenset[Route]
    """Routes of others, of all tables, that packets can take."""
    other_rules: frozenset[Rule]
    tunnels: frozenset[str]
    """WireGuard links that are there."""
    outlet: NodeEnd | None
    """The node's end of the cluster link; None where the cluster's CNI plugin makes no such end."""
    cut_off: bool
    """Whether an agent has shut the pod's links."""


def mac_of(address: ipaddress.IPv4Address) -> str:
    """Return a locally administered MAC address that is the address's own."""
    return (_MAC_PREFIX + address.packed).hex(":")


def address_of(mac: str) -> ipaddress.IPv4Address | None:
    """Return the address whose own the MAC address is; None where it is none of ours."""
    raw = bytes.fromhex(mac.replace(":", ""))
    ours = raw.startswith(_MAC_PREFIX)
    return ipaddress.IPv4Address(raw.removeprefix(_MAC_PREFIX)) if ours else None
