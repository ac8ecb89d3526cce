"""What must be on this node, from what the API says. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Mapping

from piavpn.api.gateway_config import Server
from piavpn.api.piavpns import NodeEncryption, PiaVpn
from piavpn.node import mesh, mtus, outlet, overlays, reasons
from piavpn.node.claims import Claims
from piavpn.node.decide import Problem
from piavpn.node.mesh import Mesh
from piavpn.node.model import Network, Overlay, Owner, Peer, Pod, PodPlan, Role


@dataclasses.dataclass(frozen=True, slots=True)
class RemotePod:
    """A pod of another node."""

    pod: Pod
    node: ipaddress.IPv4Address
    """That node's own address."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What the API says, as far as it concerns this node."""

    vpns: Mapping[str, PiaVpn]
    pods: tuple[Pod, ...]
    """Of this node, oldest first."""
    servers: Mapping[str, tuple[Server, ...]]
    """By VPN: all that its gateway may register at."""
    cluster: tuple[ipaddress.IPv4Network, ...]
    """Pod and service CIDRs; empty while unknown."""
    services: Mapping[Owner, ipaddress.IPv4Address | None]
    """The VpnServiceContainers, each with the address that the operator gave it."""
    service_cidrs: tuple[ipaddress.IPv4Network, ...] = ()
    """Where they are known apart from the pods'."""
    nodes: tuple[ipaddress.IPv4Address, ...] = ()
    """The nodes' own addresses."""
    bypass: Mapping[Owner, tuple[ipaddress.IPv4Network, ...]] = dataclasses.field(
        default_factory=dict
    )
    """What a VpnServiceContainer's app, or all apps of a PiaVpn, reach past the tunnel."""
    node: ipaddress.IPv4Address | None = None
    """This node's own address; None while unknown."""
    elsewhere: tuple[RemotePod, ...] = ()
    """The pods of all other nodes; of two that claim one address, the first has it."""
    node_keys: Mapping[ipaddress.IPv4Address, str] = dataclasses.field(default_factory=dict)
    """By their own addresses: the nodes' public keys."""


@dataclasses.dataclass(frozen=True, slots=True)
class NodePlan:
    """What must be on this node."""

    networks: dict[str, Network]
    """By VPN: the bridges."""
    proxies: dict[str, tuple[Server, ...]]
    """By VPN: the proxies' allow-lists."""
    pods: dict[str, PodPlan | Problem]
    """By UID."""
    inside: outlet.Inside
    """What service pods may reach by the cluster's network."""
    inhabited: frozenset[str] = frozenset()
    """The VPNs with pods here, also those that are not known."""
    overlays: dict[str, Overlay] = dataclasses.field(default_factory=dict)
    """By VPN: how its bridge is joined to other nodes, where pods are that it must know."""
    joined: bool = False
    """Whether any VPN's bridges are joined: this node's pods must not speak in between."""
    mesh: Mesh | None = None
    """The node's WireGuard link to others; None where no VPN here is encrypted."""
    keyless: dict[str, Problem] = dataclasses.field(default_factory=dict)
    """By VPN: whose unknown key keeps its pods here from those on other nodes."""


def node_plan(snapshot: Snapshot, uplink_mtu: int) -> NodePlan:
    """Return what must be on this node: a VPN's bridge where a pod of it is.

    Args:
        snapshot: what the API says.
        uplink_mtu: of the link by which encrypted packets leave the node.
    """
    here = {pod.vpn for pod in snapshot.pods}
    known = {vpn: _network(snapshot.vpns.get(vpn), uplink_mtu) for vpn in here}
    networks = {vpn: network for vpn, network in known.items() if network is not None}
    gateways = {pod.vpn for pod in snapshot.pods if pod.role is Role.GATEWAY}
    claims = Claims(snapshot.services)
    pods: dict[str, PodPlan | Problem] = {}
    for pod in snapshot.pods:
        if pod.breach:
            pods[pod.uid] = _not_allowed(pod.breach)
            continue
        plan = _pod_plan(pod, networks.get(pod.vpn), snapshot, claims)
        if isinstance(plan, PodPlan):
            claims.hold(pod, plan.address)
        pods[pod.uid] = plan
    plain = _overlays(snapshot, networks, gateways, claims)
    return NodePlan(
        networks=networks,
        proxies={vpn: snapshot.servers.get(vpn, ()) for vpn in gateways & networks.keys()},
        pods=pods,
        inside=outlet.Inside(snapshot.cluster, snapshot.nodes, snapshot.service_cidrs),
        inhabited=frozenset(here),
        overlays=_encrypted(snapshot, plain),
        mesh=_mesh(snapshot, networks, uplink_mtu),
        keyless=_keyless(snapshot, plain),
        joined=_are_joined(snapshot),
    )


def _are_joined(snapshot: Snapshot) -> bool:
    """Tell whether a VPN has pods on several nodes, whichever these are."""
    places: dict[str, set[ipaddress.IPv4Address | None]] = {}
    for vpn, node in (
        *((pod.vpn, snapshot.node) for pod in snapshot.pods),
        *((remote.pod.vpn, remote.node) for remote in snapshot.elsewhere),
    ):
        places.setdefault(vpn, set()).add(node)
    return any(len(nodes) > 1 for nodes in places.values())


def _network(vpn: PiaVpn | None, uplink_mtu: int) -> Network | None:
    if vpn is None or vpn.status.network is None:
        return None
    allocated = vpn.status.network
    encrypted = vpn.spec.network.node_encryption is NodeEncryption.WIREGUARD
    return Network(
        vpn=vpn.name,
        bridge=allocated.bridge,
        subnet=allocated.subnet,
        host=allocated.host_address,
        gateway=allocated.gateway_address,
        mtu=mtus.of_encrypted(uplink_mtu) if encrypted else mtus.of_tunnel(uplink_mtu),
        service_isolation=vpn.spec.network.service_isolation,
        encrypted=encrypted,
    )


def _overlays(
    snapshot: Snapshot, networks: Mapping[str, Network], gateways: Collection[str], claims: Claims
) -> dict[str, Overlay]:
    """Return the overlays by nodes' own addresses.

    The claims of this node's own pods must be held already.
    """
    if snapshot.node is None:
        return {}
    peers = _peers(snapshot, networks, claims)
    found = {
        vpn: overlays.overlay(networks[vpn], snapshot.node, others, gateway_here=vpn in gateways)
        for vpn, others in peers.items()
    }
    return {vpn: overlay for vpn, overlay in found.items() if overlay is not None}


def _encrypted(snapshot: Snapshot, plain: Mapping[str, Overlay]) -> dict[str, Overlay]:
    """Return the overlays, those of encrypted VPNs by the mesh of nodes."""
    if snapshot.node is None:
        return {}
    found = {
        vpn: overlays.encrypted(overlay, snapshot.node, snapshot.node_keys)
        if overlay.network.encrypted
        else overlay
        for vpn, overlay in plain.items()
    }
    return {vpn: overlay for vpn, overlay in found.items() if overlay is not None}


def _keyless(snapshot: Snapshot, plain: Mapping[str, Overlay]) -> dict[str, Problem]:
    if snapshot.node is None:
        return {}
    found = {
        vpn: overlays.keyless(overlay, snapshot.node, snapshot.node_keys)
        for vpn, overlay in plain.items()
        if overlay.network.encrypted
    }
    return {vpn: problem for vpn, problem in found.items() if problem is not None}


def _mesh(snapshot: Snapshot, networks: Mapping[str, Network], uplink_mtu: int) -> Mesh | None:
    wanted = any(network.encrypted for network in networks.values())
    if not wanted or snapshot.node is None:
        return None
    return mesh.plan(snapshot.node, snapshot.node_keys, uplink_mtu)


def _peers(
    snapshot: Snapshot, networks: Mapping[str, Network], claims: Claims
) -> dict[str, list[Peer]]:
    """Return the pods of other nodes that hold an address by the same rules as this node's."""
    found: dict[str, list[Peer]] = {}
    for pod, node in ((remote.pod, remote.node) for remote in snapshot.elsewhere):
        if pod.vpn not in networks or pod.breach:
            continue
        address = claims.address(pod, networks[pod.vpn])
        if not isinstance(address, Problem):
            claims.hold(pod, address)
            found.setdefault(pod.vpn, []).append(Peer(pod.role, address, node))
    return found


def _pod_plan(
    pod: Pod,
    network: Network | None,
    snapshot: Snapshot,
    claims: Claims,
) -> PodPlan | Problem:
    if network is None:
        return Problem(
            reasons.NETWORK_UNKNOWN,
            f"PiaVpn {pod.vpn} has no network yet, or does not exist: see its conditions",
        )
    if not snapshot.cluster:
        return Problem(
            reasons.CLUSTER_CIDRS_UNKNOWN,
            "neither the nodes' podCIDRs with the ServiceCIDR API nor PIAVPN_CLUSTER_CIDRS tell"
            " which addresses are the cluster's: set PIAVPN_CLUSTER_CIDRS on the node agent to"
            " the pod and service CIDRs, separated by commas",
        )
    address = claims.address(pod, network)
    if isinstance(address, Problem):
        return address
    if pod.role is Role.SERVICE and pod.name_servers != (str(network.gateway),):
        return _not_allowed(
            f"spec.dnsPolicy and spec.dnsConfig must name {network.gateway}, the gateway, alone"
        )
    return PodPlan(
        role=pod.role,
        network=network,
        address=address,
        cluster=snapshot.cluster,
        bypass=_bypass(pod, network, snapshot) if pod.role is Role.SERVICE else (),
    )


def _bypass(pod: Pod, network: Network, snapshot: Snapshot) -> tuple[ipaddress.IPv4Network, ...]:
    """Return what the app may reach past the tunnel; what is the bridge's stays on the bridge.

    The operator refuses what overlaps the bridge's network, and a living pod does not wait for it.
    """
    wanted = (*snapshot.bypass.get(Owner(pod.vpn), ()), *snapshot.bypass.get(pod.owner, ()))
    found = (one for one in wanted if not one.overlaps(network.subnet))
    return tuple(ipaddress.collapse_addresses(found))


def _not_allowed(why: str) -> Problem:
    return Problem(
        reasons.POD_NOT_ALLOWED,
        f"{why}: the pod is cut off; delete it, and see to whoever made or changed it",
    )
