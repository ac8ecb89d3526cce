"""What must be on this node, from what the API says. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

from piavpn.api import names
from piavpn.api.conditions import PodCondition
from piavpn.api.gateway_config import Server
from piavpn.api.piavpns import PiaVpn
from piavpn.node import outlet, reasons
from piavpn.node.decide import Problem
from piavpn.node.model import Network, Owner, Pod, PodPlan, Role


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


def node_plan(snapshot: Snapshot, tunnel_mtu: int) -> NodePlan:
    """Return what must be on this node: a VPN's bridge where a pod of it is."""
    here = {pod.vpn for pod in snapshot.pods}
    known = {vpn: _network(snapshot.vpns.get(vpn), tunnel_mtu) for vpn in here}
    networks = {vpn: network for vpn, network in known.items() if network is not None}
    gateways = {pod.vpn for pod in snapshot.pods if pod.role is Role.GATEWAY}
    held: set[tuple[str, ipaddress.IPv4Address]] = set()
    pods: dict[str, PodPlan | Problem] = {}
    for pod in snapshot.pods:
        if pod.breach:
            pods[pod.uid] = _not_allowed(pod.breach)
            continue
        plan = _pod_plan(pod, networks.get(pod.vpn), snapshot, held)
        if isinstance(plan, PodPlan):
            held.add((pod.vpn, plan.address))
        pods[pod.uid] = plan
    return NodePlan(
        networks=networks,
        proxies={vpn: snapshot.servers.get(vpn, ()) for vpn in gateways & networks.keys()},
        pods=pods,
        inside=outlet.Inside(snapshot.cluster, snapshot.nodes, snapshot.service_cidrs),
        inhabited=frozenset(here),
    )


def _network(vpn: PiaVpn | None, tunnel_mtu: int) -> Network | None:
    if vpn is None or vpn.status.network is None:
        return None
    allocated = vpn.status.network
    return Network(
        vpn=vpn.name,
        bridge=allocated.bridge,
        subnet=allocated.subnet,
        host=allocated.host_address,
        gateway=allocated.gateway_address,
        mtu=tunnel_mtu,
        service_isolation=vpn.spec.network.service_isolation,
    )


def _pod_plan(
    pod: Pod,
    network: Network | None,
    snapshot: Snapshot,
    held: set[tuple[str, ipaddress.IPv4Address]],
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
    address = _address(pod, network, snapshot.services)
    if isinstance(address, Problem):
        return address
    if (pod.vpn, address) in held:
        return Problem(
            reasons.ADDRESS_IN_USE,
            f"an older pod on this node still holds {address}: it goes on when that one has ended",
        )
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


def _address(
    pod: Pod, network: Network, services: Mapping[Owner, ipaddress.IPv4Address | None]
) -> ipaddress.IPv4Address | Problem:
    """Return the pod's address: a service's pod has it by its VpnServiceContainer's status.

    Whoever may make pods writes labels and annotations as they like, but no status; and the
    operator writes the status before it makes the pod.
    """
    if pod.role is Role.GATEWAY:
        return network.gateway
    address = pod.address
    if pod.owner.is_pod:
        return _labelled_address(pod, network, services)
    if address is None or not _is_for_services(address, network):
        return Problem(
            reasons.ADDRESS_UNKNOWN,
            f"the pod's annotation names no address of {network.subnet} that an app may have:"
            " delete the pod to have it made anew",
        )
    service = f"VpnServiceContainer {pod.owner.namespace}/{pod.owner.name}"
    if pod.owner not in services:
        return Problem(
            reasons.ADDRESS_UNKNOWN,
            f"the pod's label names {service}, which does not exist: delete the pod, or remove"
            f" its label {names.LABEL_SERVICE}",
        )
    held = services[pod.owner]
    if held != address:
        return Problem(
            reasons.ADDRESS_UNKNOWN,
            f"the pod's annotation says {address}, but {service} holds {held or 'no address'}:"
            " delete the pod to have it made anew",
        )
    return address


def _labelled_address(
    pod: Pod, network: Network, services: Mapping[Owner, ipaddress.IPv4Address | None]
) -> ipaddress.IPv4Address | Problem:
    """Return the pod's address: it stands on the pod itself, where the operator alone writes it."""
    address = pod.address
    if address is None or not _is_for_services(address, network):
        said = f"{address}, which is none of {network.subnet} for apps" if address else "none yet"
        return Problem(
            reasons.ADDRESS_UNKNOWN,
            f"the operator gives the pod its address, and it has {said}: see the pod's condition"
            f" {PodCondition.ACCEPTED}",
        )
    if address in services.values():
        return Problem(
            reasons.ADDRESS_IN_USE,
            f"a VpnServiceContainer holds {address}, too: delete the pod to have it made anew",
        )
    return address


def _is_for_services(address: ipaddress.IPv4Address, network: Network) -> bool:
    subnet = network.subnet
    reserved = (subnet.network_address, subnet.broadcast_address, network.host, network.gateway)
    return address in subnet and address not in reserved
