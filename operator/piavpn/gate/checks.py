"""The conditions under which an app may start, in the order in which they come to hold."""

from __future__ import annotations

from collections.abc import Callable

from piavpn.api import names
from piavpn.gate import links, probes, proc

Check = tuple[str, Callable[[], str | None]]
"""What is to hold, and a function that returns what does not yet and what to look at, or None."""


def in_order(address: str | None, gateway: str) -> tuple[Check, ...]:
    """Return the checks, which must all hold in one pass.

    Args:
        address: the pod's IPv4 address on the VPN's bridge; None for whichever it was given.
        gateway: the gateway's IPv4 address there.
    """
    link = names.POD_LINK
    return (
        (
            f"{link} has {address or 'an address'}",
            lambda: _link_problem(links.address(link), address),
        ),
        (
            f"the default route goes by the gateway {gateway} alone",
            lambda: _ipv4_route_problem(_read("/proc/net/route"), gateway),
        ),
        (
            "there is no default route by IPv6",
            lambda: _ipv6_route_problem(_read("/proc/net/ipv6_route")),
        ),
        (
            f"no datagram gets out by IPv6, nor by any link but {link}",
            lambda: _lock_problem(links.up()),
        ),
        (f"the gateway's resolver at {gateway} answers", lambda: _gateway_problem(gateway)),
    )


def look(checks: tuple[Check, ...]) -> tuple[int, str | None]:
    """Return how many checks hold before the first that does not, and what that one says."""
    for number, (_, problem_of) in enumerate(checks):
        if problem := problem_of():
            return number, problem
    return len(checks), None


def _link_problem(found: str | None, address: str | None) -> str | None:
    if found is None and address is None:
        return (
            f"{names.POD_LINK} is not here yet; the node agent makes it: see the pod's conditions "
            "piavpn.dev/Accepted and piavpn.dev/Confined, and piavpn-node-agent on this node"
        )
    if found is None:
        return (
            f"{names.POD_LINK} with {address} is not here yet; the node agent makes it: see the "
            "Confined condition of the VpnServiceContainer, and piavpn-node-agent on this node"
        )
    if address in {None, found}:
        return None
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


def _lock_problem(links_up: list[str]) -> str | None:
    if what := probes.ipv6_leak(None):
        return f"the pod is not locked: IPv6 to {probes.OUTSIDE_IPV6[0]}: {what}"
    for link in links_up:
        # By IPv4 the pod's own link leads to the gateway, which sends by the tunnel or not at all.
        if link != names.POD_LINK and (what := probes.ipv4_leak(link)):
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
