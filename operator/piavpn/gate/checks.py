"""The conditions under which an app may start, in the order in which they come to hold."""

from __future__ import annotations

from piavpn.api import names
from piavpn.gate import links, probes, proc

_EXPECTED_LINKS = ("lo", names.POD_LINK)


def first_problem(address: str, gateway: str) -> str | None:
    """Return what does not hold yet and what to look at; None when all holds in this one pass.

    Args:
        address: the pod's IPv4 address on the VPN's bridge.
        gateway: the gateway's IPv4 address there.
    """
    return (
        _link_problem(links.address(names.POD_LINK), address)
        or _ipv4_route_problem(_read("/proc/net/route"), gateway)
        or _ipv6_route_problem(_read("/proc/net/ipv6_route"))
        or _lock_problem()
        or _gateway_problem(gateway)
    )


def _link_problem(found: str | None, address: str) -> str | None:
    if found == address:
        return None
    if found is None:
        return (
            f"{names.POD_LINK} with {address} is not here yet; the node agent makes it: see the "
            "Confined condition of the VpnServiceContainer, and piavpn-node-agent on this node"
        )
    return f"{names.POD_LINK} has {found} instead of {address}; delete the pod to attach it anew"


def _ipv4_route_problem(route_table: str, gateway: str) -> str | None:
    wanted = (names.POD_LINK, gateway)
    found = proc.ipv4_default_routes(route_table)
    if not found:
        return f"there is no default route yet; the node agent sets it by {gateway}"
    foreign = [f"{link} via {hop}" for link, hop in found if (link, hop) != wanted]
    if foreign:
        return f"a default route goes by {', '.join(foreign)} and not by the gateway {gateway}"
    return None


def _ipv6_route_problem(route_table: str) -> str | None:
    if found := proc.ipv6_default_links(route_table):
        return f"there is an IPv6 default route by {', '.join(found)}; the tunnel has no IPv6"
    return None


def _lock_problem() -> str | None:
    if what := probes.ipv6_leak(None):
        return f"the pod is not locked: IPv6 to {probes.OUTSIDE_IPV6[0]}: {what}"
    for link in links.others_up(_EXPECTED_LINKS):
        if what := probes.ipv4_leak(link):
            return f"{link} is not locked: IPv4 to {probes.OUTSIDE_IPV4[0]}: {what}"
        if what := probes.ipv6_leak(link):
            return f"{link} is not locked: IPv6 to {probes.OUTSIDE_IPV6[0]}: {what}"
    return None


def _gateway_problem(gateway: str) -> str | None:
    if probes.resolver_answers(gateway):
        return None
    return (
        f"the gateway's resolver at {gateway} does not answer; "
        "see the PiaVpn's conditions and its gateway pod"
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as table:  # noqa: PTH123 - pathlib costs start-up time
            return table.read()
    except FileNotFoundError:
        return ""  # a kernel without IPv6 has no such table
