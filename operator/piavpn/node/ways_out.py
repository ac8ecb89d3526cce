"""What of others' routes and rules leads out of a confined pod past its gateway. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from piavpn.api import names
from piavpn.net import routing
from piavpn.net.routing import Route, Rule
from piavpn.node import lock

Networks = Collection[ipaddress.IPv4Network]


def routes(others: Iterable[Route], cluster: Networks) -> tuple[Route, ...]:
    """Return those routes that lead outside the cluster, by a next hop or to everywhere.

    Whatever their table: a rule that leads there is added as fast as a route.
    """
    return tuple(route for route in others if _leads_out(route, cluster))


def rules(others: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return those rules that open the table of replies, which leads out, to more than replies."""
    return tuple(rule for rule in others if rule.table == lock.REPLY_TABLE)


def in_words(
    other_routes: Iterable[Route], other_rules: Iterable[Rule], cluster: Networks
) -> list[str]:
    """Say which routes and rules lead out."""
    found = [_in_words(route) for route in routes(other_routes, cluster)]
    found += [f"a routing rule for table {rule.table} was added" for rule in rules(other_rules)]
    return sorted(found)


def direct_in_words(added: Iterable[Route], cluster: Networks) -> list[str]:
    """Say which routes that were added lead straight to the cluster's link for what is outside.

    A node that answers ARP for everyone takes such packets. Cluster networks have routes of that
    kind themselves, to their next hop: so those that were there before say nothing.
    """
    return sorted(
        _in_words(route)
        for route in added
        if route.dev == names.CLUSTER_LINK and not _is_inside(route, cluster)
    )


def _leads_out(route: Route, cluster: Networks) -> bool:
    if route.destination == routing.EVERYWHERE:
        return True
    by_next_hops = route.via is not None or route.dev is None
    return by_next_hops and not _is_inside(route, cluster)


def _is_inside(route: Route, cluster: Networks) -> bool:
    return any(route.destination.subnet_of(network) for network in cluster)


def _in_words(route: Route) -> str:
    where = "" if route.table == routing.MAIN_TABLE else f" in table {route.table}"
    return f"a route to {route.destination} was added on {route.dev or 'several links'}{where}"
