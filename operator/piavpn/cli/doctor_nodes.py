"""What is well and what is not with nodes, their agents and the networks. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from piavpn.api import cidrs, names, node_facts
from piavpn.api.node_facts import NodeFacts, WireGuard
from piavpn.cli.doctor_model import Object, Seen
from piavpn.cli.findings import Finding, fail, ok, warn

_SKEW = timedelta(seconds=30)
"""Between a node's clock and that of the doctor's machine."""


def every(seen: Seen) -> Iterator[Finding]:
    """Yield all findings."""
    for node in sorted(_needed(seen)):
        yield from _agent(seen, node)
    yield from _networks(seen)


def _needed(seen: Seen) -> set[str]:
    """Return the nodes on which pods of ours are: there an agent must be."""
    pods = (*seen.gateway_pods, *seen.app_pods)
    return {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}


def _agent(seen: Seen, node: str) -> Iterator[Finding]:
    check = f"node agent of {node}"
    pods = [pod for pod in seen.agent_pods if pod["spec"].get("nodeName") == node]
    if not pods and "pods of piavpn-node-agent" not in seen.unread:
        yield fail(
            check,
            "there is none: nobody attaches, tests and watches the pods there",
            f"kubectl describe -n {seen.namespace} daemonset/piavpn-node-agent",
        )
        return
    if "node agents' Leases" in seen.unread:
        return
    lease = next(
        (it for it in seen.leases if it["metadata"]["name"] == names.lease_name(node)), None
    )
    see = f"kubectl logs -n {seen.namespace} {pods[0]['metadata']['name']}" if pods else "see to it"
    if lease is None:
        yield fail(check, "it has never said that it lives", see)
        return
    silence = _silence(lease, seen.now)
    lasts = timedelta(seconds=lease["spec"].get("leaseDurationSeconds", 40))
    if silence > lasts + _SKEW:
        yield fail(
            check,
            f"silent for {int(silence.total_seconds())} s: locks hold, nobody vouches for it",
            see,
        )
    else:
        yield ok(check, "lives")
    told = (lease["metadata"].get("annotations") or {}).get(names.ANNOTATION_NODE_FACTS)
    facts = node_facts.from_annotation(told)
    if facts is None:
        yield warn(
            f"node {node}",
            "its agent tells nothing of it: it is of another version than this plugin",
            "install operator and plugin of one version",
        )
        return
    yield from _kernel(node, facts)
    yield from _layers(node, facts)


def _silence(lease: Object, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(lease["spec"]["renewTime"])


def _kernel(node: str, facts: NodeFacts) -> Iterator[Finding]:
    check = f"kernel of {node}"
    if not facts.nftables:
        yield fail(check, f"{facts.kernel} has no nf_tables", "modprobe nf_tables on the node")
    if facts.wireguard is WireGuard.NONE:
        todo = "load the kernel module wireguard or tun on the node"
        yield fail(check, f"{facts.kernel} has neither WireGuard nor /dev/net/tun", todo)
    elif facts.wireguard is WireGuard.USERSPACE:
        yield warn(
            check,
            f"{facts.kernel} has no WireGuard: wireguard-go is used, which is slower",
            "modprobe wireguard on the node, where its kernel has it",
        )
    elif facts.nftables:
        yield ok(check, f"{facts.kernel}, with WireGuard and nf_tables")


def _layers(node: str, facts: NodeFacts) -> Iterator[Finding]:
    check = f"leak layers of {node}"
    inside = "routes, locks, gates, watch and leak test are at work"
    if facts.raw_frames_unseen or facts.raw_frames_unknown:
        idle = facts.raw_frames_unseen + facts.raw_frames_unknown
        yield warn(
            check,
            f"{inside}; the node's own filter does not see {idle} of {facts.tested} apps",
            "nothing, where apps have no NET_RAW: this layer cannot work with this CNI plugin",
        )
    elif facts.cilium:
        yield warn(
            check,
            f"{inside}; the node's own filter may be idle under Cilium",
            "set Cilium's bpf.hostLegacyRouting=true to have this layer, too",
        )
    elif facts.tested:
        yield ok(check, f"all; the node's own filter drops raw frames of {facts.tested} apps")
    else:
        yield ok(check, f"{inside}; no app was tested yet")


def _networks(seen: Seen) -> Iterator[Finding]:
    known = dict(_of_cluster(seen))
    unread = {"nodes", "ServiceCIDRs"} & seen.unread.keys()
    troubles = [*_overlaps(seen, known), *_unknown_addresses(seen, known, unread)]
    yield from troubles
    if not troubles:
        listed = ", ".join(sorted({str(cidr) for cidr in known.values()}))
        yield ok("networks", f"no subnet overlaps {listed or 'another'}")


def _of_cluster(seen: Seen) -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    """Yield the networks of pods and Services that the operator knows, and whose they are."""
    for cidr in _given(seen):
        yield f"{cidrs.VARIABLE} {cidr}", cidr
    for cidr in _ipv4(seen.service_cidrs):
        yield f"the ServiceCIDR {cidr}", cidr
    for node in seen.nodes:
        for cidr in _ipv4(node["spec"].get("podCIDRs", [])):
            yield f"the podCIDR {cidr} of node {node['metadata']['name']}", cidr


def _given(seen: Seen) -> tuple[ipaddress.IPv4Network, ...]:
    containers = [c for pod in seen.operator_pods for c in pod["spec"]["containers"]]
    listed = [entry for container in containers for entry in container.get("env", [])]
    return cidrs.given({entry["name"]: entry.get("value", "") for entry in listed})


def _ipv4(texts: Iterable[str]) -> list[ipaddress.IPv4Network]:
    networks = (ipaddress.ip_network(text) for text in texts)
    return [network for network in networks if isinstance(network, ipaddress.IPv4Network)]


def _overlaps(seen: Seen, known: dict[str, ipaddress.IPv4Network]) -> Iterator[Finding]:
    taken = known | {
        f"the address {address} of node {node['metadata']['name']}": network
        for node in seen.nodes
        for address in (entry["address"] for entry in node.get("status", {}).get("addresses", []))
        for network in _of_address(address)
    }
    for vpn in seen.vpns:
        name = vpn["metadata"]["name"]
        subnet = ((vpn.get("status") or {}).get("network") or {}).get("subnet")
        for whose, cidr in taken.items() if subnet else ():
            if cidr.overlaps(ipaddress.IPv4Network(subnet)):
                todo = "make the PiaVpn anew with another network.subnet"
                yield fail(f"networks of {name}", f"its subnet {subnet} overlaps {whose}", todo)
        for bypass in vpn["spec"].get("bypassCIDRs", []):
            for whose, cidr in known.items():
                if cidr.overlaps(ipaddress.IPv4Network(bypass)):
                    said = f"its bypass {bypass} overlaps {whose}, which is reached anyway"
                    yield warn(f"networks of {name}", said, "take it out of bypassCIDRs")


def _of_address(text: str) -> list[ipaddress.IPv4Network]:
    try:
        return [ipaddress.IPv4Network(text)]
    except ValueError:
        return []


def _unknown_addresses(
    seen: Seen, known: dict[str, ipaddress.IPv4Network], unread: set[str]
) -> Iterator[Finding]:
    """Yield pods whose addresses no network that we know holds: the CNI plugin has its own."""
    if unread:
        return
    for pod in (*seen.gateway_pods, *seen.app_pods):
        for network in _of_address(pod.get("status", {}).get("podIP", "")):
            if not any(network.subnet_of(cidr) for cidr in known.values()):
                yield fail(
                    "networks",
                    f"pod {pod['metadata']['name']} has {network.network_address}, which is in no"
                    " network of the cluster that the operator knows",
                    f"set {cidrs.VARIABLE} of Deployment and DaemonSet to the CNI's networks",
                )
                return
