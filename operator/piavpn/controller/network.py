"""Subnets and addresses: who gets which. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from piavpn.api import conditions, names, piavpns, vpnapps
from piavpn.controller import model
from piavpn.controller.reasons import Reason

FIRST_SUBNET = ipaddress.IPv4Network("10.100.0.0/24")
LAST_SUBNET = ipaddress.IPv4Network("10.199.255.0/24")
_HOST, _GATEWAY, _FIRST_AUTOMATIC = 1, 2, 10
"""Offsets in a subnet: the bridge's own address, the gateway's, the first that is given away."""


def of_subnet(vpn: str, subnet: ipaddress.IPv4Network) -> piavpns.NetworkStatus:
    """Return the VPN's network in this subnet."""
    return piavpns.NetworkStatus(
        subnet=subnet,
        bridge=names.bridge_name(vpn),
        host_address=subnet[_HOST],
        gateway_address=subnet[_GATEWAY],
    )


def choose_subnet(
    vpn: piavpns.PiaVpn,
    others: Iterable[piavpns.PiaVpn],
    cluster_cidrs: Iterable[ipaddress.IPv4Network],
    pods_elsewhere: Mapping[ipaddress.IPv4Address, str],
) -> ipaddress.IPv4Network | model.Verdict:
    """Return the VPN's subnet: the one it has, the one asked for, or the first free one.

    Returns a verdict that says what to do where there is none.

    Args:
        vpn: the VPN.
        others: all other VPNs.
        cluster_cidrs: the ranges of pods and Services.
        pods_elsewhere: addresses of living pods of other VPNs, and these VPNs' names: a VPN that
            was deleted leaves its apps' pods on its bridge until they end.
    """
    taken = {f"the cluster's {cidr}": cidr for cidr in cluster_cidrs}
    taken |= {f"{cidr} of PiaVpn {name}": cidr for name, cidr in _subnets(vpn, others).items()}
    held = vpn.status.network.subnet if vpn.status.network is not None else None
    if held is None:
        taken |= {
            f"{address} of an app of PiaVpn {name} that still runs": ipaddress.IPv4Network(address)
            for address, name in pods_elsewhere.items()
        }
    wanted = vpn.spec.network.subnet
    if wanted is None and held is None:
        return _first_free((*taken.values(), *vpn.spec.bypass_cidrs))
    subnet = wanted or held
    assert subnet is not None  # noqa: S101 - one of them is set here
    for whose, cidr in taken.items():
        if subnet.overlaps(cidr):
            return _refused(
                Reason.SUBNET_OVERLAPS, f"subnet {subnet} overlaps {whose}: {_other_subnet(held)}"
            )
    return subnet


def bypass_problem(
    bypass: Iterable[ipaddress.IPv4Network], subnet: ipaddress.IPv4Network
) -> model.Verdict | None:
    """Return why what shall go past the tunnel cannot; None where all of it can."""
    for network in bypass:
        if network.overlaps(subnet):
            return _refused(
                Reason.BYPASS_OVERLAPS,
                f"{network} of spec.bypassCIDRs overlaps the VPN's own network {subnet}: take it "
                "out, or name the parts that do not",
            )
    return None


def _other_subnet(held: ipaddress.IPv4Network | None) -> str:
    if held is not None:
        return "delete this PiaVpn and create it again with another spec.network.subnet"
    return (
        "set spec.network.subnet to a range that is used nowhere in the cluster, or leave it out "
        "to have one chosen"
    )


def _subnets(
    vpn: piavpns.PiaVpn, others: Iterable[piavpns.PiaVpn]
) -> dict[str, ipaddress.IPv4Network]:
    """Return the subnets of other VPNs that come before this one: held, or asked for earlier."""
    subnets = {}
    mine_is_held = vpn.status.network is not None
    for other in others:
        if other.status.network is not None:
            subnets[other.name] = other.status.network.subnet
        elif other.spec.network.subnet is not None and not mine_is_held and other.name < vpn.name:
            subnets[other.name] = other.spec.network.subnet
    return subnets


def _first_free(taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network | model.Verdict:
    known = tuple(taken)
    step = FIRST_SUBNET.num_addresses
    for start in range(int(FIRST_SUBNET[0]), int(LAST_SUBNET[0]) + 1, step):
        subnet = ipaddress.IPv4Network((start, FIRST_SUBNET.prefixlen))
        if not any(subnet.overlaps(cidr) for cidr in known):
            return subnet
    return _refused(
        Reason.NO_FREE_SUBNET,
        f"no /24 between {FIRST_SUBNET} and {LAST_SUBNET} is free: set spec.network.subnet",
    )


def allocate(
    network: piavpns.NetworkStatus,
    services: Iterable[vpnapps.VpnServiceContainer],
    held_by_pods: Mapping[ipaddress.IPv4Address, model.ServiceKey],
) -> dict[model.ServiceKey, ipaddress.IPv4Address | model.Verdict]:
    """Give each service its address, or a verdict that says why it has none.

    Who holds an address keeps it; then come the fixed ones, oldest first; then the automatic ones.
    An address whose pod still lives is not given to another, even if its service is gone.
    """
    ordered = sorted(services, key=lambda s: (not _keeps(s), s.spec.ip is None, s.created, key(s)))
    owners = dict(held_by_pods)
    result: dict[model.ServiceKey, ipaddress.IPv4Address | model.Verdict] = {}
    for service in ordered:
        found = _address(network, service, owners)
        if isinstance(found, ipaddress.IPv4Address):
            owners[found] = key(service)
        result[key(service)] = found
    return result | _meanwhile(network, ordered, result, owners)


def _meanwhile(
    network: piavpns.NetworkStatus,
    services: Sequence[vpnapps.VpnServiceContainer],
    result: Mapping[model.ServiceKey, ipaddress.IPv4Address | model.Verdict],
    owners: Mapping[ipaddress.IPv4Address, model.ServiceKey],
) -> dict[model.ServiceKey, ipaddress.IPv4Address | model.Verdict]:
    """Return what those get that wait for an address which its holder is about to leave.

    They keep their own until then. Were each to keep it, those that swap would wait for ever: so
    in a circle one moves to a free address first.
    """
    wanted = {key(service): service.spec.ip for service in services if service.spec.ip is not None}
    waits_for = {one: owners[ip] for one, ip in wanted.items() if owners.get(ip, one) != one}
    found: dict[model.ServiceKey, ipaddress.IPv4Address | model.Verdict] = {}
    first = next((s for s in services if _waits_for_itself(key(s), waits_for)), None)
    if first is not None:
        found[key(first)] = first_free_address(network, owners)
    for service in services:
        if key(service) in waits_for and key(service) not in found:
            left = {**result, **found}.get(waits_for[key(service)])
            held = service.status.address
            leaving = isinstance(left, ipaddress.IPv4Address) and left != service.spec.ip
            if leaving and held is not None and owners.get(held, key(service)) == key(service):
                found[key(service)] = held
    return found


def _waits_for_itself(
    service: model.ServiceKey, waits_for: Mapping[model.ServiceKey, model.ServiceKey]
) -> bool:
    behind, passed = waits_for.get(service), set[model.ServiceKey]()
    while behind is not None and behind not in passed:
        passed.add(behind)
        behind = waits_for.get(behind)
    return service in passed


def stranger(seen: model.Observed, namespace: str) -> model.Verdict | None:
    """Return why apps of this namespace may not use the VPN; None where they may."""
    selector = seen.vpn.spec.allowed_namespaces if seen.vpn is not None else None
    labels = seen.namespace_labels.get(namespace, {})
    if selector is None or selector.matches(labels):
        return None
    return _refused(
        Reason.NAMESPACE_NOT_ALLOWED,
        f"spec.allowedNamespaces of PiaVpn {seen.name} does not select namespace "
        f"{namespace}: have the namespace labelled, or name another PiaVpn",
    )


def key(service: vpnapps.VpnServiceContainer) -> model.ServiceKey:
    """Return the service's namespace and name."""
    return service.namespace, service.name


def _keeps(service: vpnapps.VpnServiceContainer) -> bool:
    held = service.status.address
    return held is not None and service.spec.ip in (None, held)


def _address(
    network: piavpns.NetworkStatus,
    service: vpnapps.VpnServiceContainer,
    owners: Mapping[ipaddress.IPv4Address, model.ServiceKey],
) -> ipaddress.IPv4Address | model.Verdict:
    if service.spec.ip is not None:
        return _fixed(network, service, service.spec.ip, owners)
    held = service.status.address
    free = owners.get(held, key(service)) == key(service) if held is not None else False
    if held is not None and free and usable(network, held):
        return held
    # A status that was lost, or never written: the pod lives by its address all the same.
    own = (each for each, owner in owners.items() if owner == key(service))
    return next((each for each in own if usable(network, each)), None) or first_free_address(
        network, owners
    )


def first_free_address(
    network: piavpns.NetworkStatus, owners: Mapping[ipaddress.IPv4Address, model.ServiceKey]
) -> ipaddress.IPv4Address | model.Verdict:
    """Return an address that nobody has, or why there is none."""
    for offset in range(_FIRST_AUTOMATIC, network.subnet.num_addresses - 1):
        if network.subnet[offset] not in owners:
            return network.subnet[offset]
    return _refused(
        Reason.NO_FREE_ADDRESS,
        f"every address of {network.subnet} is in use: delete apps of this VPN, or make "
        "another PiaVpn with a larger spec.network.subnet",
    )


def _fixed(
    network: piavpns.NetworkStatus,
    service: vpnapps.VpnServiceContainer,
    wanted: ipaddress.IPv4Address,
    owners: Mapping[ipaddress.IPv4Address, model.ServiceKey],
) -> ipaddress.IPv4Address | model.Verdict:
    first, last = network.subnet[_GATEWAY + 1], network.subnet[-2]
    if wanted not in network.subnet:
        return _refused(
            Reason.ADDRESS_OUTSIDE_SUBNET,
            f"{wanted} is not in the VPN's subnet {network.subnet}: set spec.ip to an address "
            f"between {first} and {last}, or leave it out to have one chosen",
        )
    if not usable(network, wanted):
        return _refused(
            Reason.ADDRESS_RESERVED,
            f"{wanted} is the subnet's own, the bridge's or the gateway's: set spec.ip to an "
            f"address between {first} and {last}",
        )
    owner = owners.get(wanted, key(service))
    if owner != key(service):
        return _refused(
            Reason.ADDRESS_TAKEN,
            f"{wanted} is held by {'/'.join(owner)}: set spec.ip to another address",
        )
    return wanted


def usable(network: piavpns.NetworkStatus, address: ipaddress.IPv4Address) -> bool:
    """Tell whether an app may have this address."""
    offset = int(address) - int(network.subnet[0])
    return _GATEWAY < offset < network.subnet.num_addresses - 1


def _refused(reason: Reason, message: str) -> model.Verdict:
    return model.Verdict(conditions.Status.FALSE, reason, message)
