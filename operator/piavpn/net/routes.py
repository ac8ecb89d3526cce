"""Make the kernel hold exactly the IPv4 routes and routing rules that are given as data.

Whose they are stands in the kernel itself: each entry carries its owner's protocol number (as `ip
route show` prints), so that owners in one namespace never touch each other's.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from piavpn.net import linklist
from piavpn.net.routing import EVERYWHERE, MAIN_TABLE, WHOLE_MARK, Owner, Route, Rule

__all__ = ["Owner", "Route", "Rule"]

_ONLINK = 4
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 0, 253, 255
_TYPES = {"unicast": 1, "unreachable": 7}
_LOOK_UP, _UNREACHABLE = 1, 7
_ALWAYS_THERE = {Rule(0, 255), Rule(32766, MAIN_TABLE), Rule(32767, 253)}
"""The rules that every namespace begins with: tables local, main and default."""


class MissingLinkError(Exception):
    """A route names a link that is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Dump:
    """All that a namespace holds."""

    routes: tuple[tuple[int, int, Route], ...]
    """With the numbers of their owners and types."""
    rules: tuple[tuple[int | None, Rule], ...]

    def owned(self, owner: Owner) -> tuple[frozenset[Route], frozenset[Rule]]:
        """Return `owner`'s routes and rules."""
        return (
            frozenset(route for of, _, route in self.routes if of == owner),
            frozenset(rule for of, rule in self.rules if of == owner),
        )

    def others(self, *known: Owner) -> tuple[frozenset[Route], frozenset[Rule]]:
        """Return the routes of all tables, and the rules, that are not `known` owners'.

        Without the rules that every namespace has, and without what no packet leaves by. The
        kernel's own routes are among them: anybody can say that a route is the kernel's. Of one
        with several next hops neither link nor next hop is told.
        """
        routes = (
            route
            for of, kind, route in self.routes
            if kind == _TYPES["unicast"] and of not in known
        )
        rules = frozenset(rule for of, rule in self.rules if of not in known)
        return frozenset(routes), rules - _ALWAYS_THERE


def apply(routes: Iterable[Route], rules: Iterable[Rule], *, owner: Owner) -> None:
    """Make `owner`'s routes and rules in the calling thread's namespace exactly these.

    What is right already is left alone. New entries come in the order given, before
    old ones go.

    Raises:
        MissingLinkError: a route names a link that is not there; nothing was changed.
        pyroute2.NetlinkError: the kernel refused an entry.
    """
    wanted_routes, wanted_rules = tuple(routes), tuple(rules)
    with IPRoute() as kernel:
        links = _links()
        for route in wanted_routes:
            if route.dev is not None and route.dev not in links.values():
                raise MissingLinkError(f"no link {route.dev} for the route to {route.destination}")
        present_routes, present_rules = dump(kernel, links).owned(owner)
        for route in wanted_routes:
            if route not in present_routes:
                kernel.route("replace", **_route_message(route, links, owner))
        for rule in wanted_rules:
            if rule not in present_rules:
                kernel.rule("add", **_rule_message(rule, owner))
        for rule in present_rules.difference(wanted_rules):
            kernel.rule("del", **_rule_message(rule, owner))
        kept = {_place(route) for route in wanted_routes}
        for route in present_routes.difference(wanted_routes):
            if _place(route) not in kept:
                kernel.route("del", **_route_message(route, links, owner))


def others(*known: Owner) -> tuple[frozenset[Route], frozenset[Rule]]:
    """Return what is not `known` owners' in the calling thread's namespace: see `Dump.others`."""
    with IPRoute() as kernel:
        return dump(kernel, _links()).others(*known)


def dump(kernel: Any, links: dict[int, str]) -> Dump:  # noqa: ANN401 - pyroute2 has no types
    """Return all routes and rules of the namespace to which `kernel` speaks.

    Args:
        kernel: an open `IPRoute`.
        links: the names of that namespace's links, by their numbers.
    """
    return Dump(
        tuple(
            (item["proto"], item["type"], _read_route(item, links))
            for item in kernel.get_routes(family=socket.AF_INET)
        ),
        tuple(
            (item.get_attr("FRA_PROTOCOL"), _read_rule(item))
            for item in kernel.get_rules(family=socket.AF_INET)
        ),
    )


def remove(unwanted: Iterable[Route]) -> None:
    """Remove routes, whosever they are; one that is gone already is fine.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for route in unwanted:
            try:
                kernel.route(
                    "del",
                    dst=str(route.destination),
                    table=route.table,
                    priority=route.metric,
                    scope=_SCOPE_NOWHERE,
                    type=0,
                    proto=0,
                )
            except NetlinkError as error:
                if error.code != errno.ESRCH:
                    raise


def remove_rules(unwanted: Iterable[Rule]) -> None:
    """Remove routing rules, whosever they are; one that is gone already is fine.

    Raises:
        pyroute2.NetlinkError: the kernel refused.
    """
    with IPRoute() as kernel:
        for rule in unwanted:
            message = {"priority": rule.priority, "table": rule.table, "family": socket.AF_INET}
            try:
                kernel.rule("del", **message)
            except NetlinkError as error:
                if error.code != errno.ENOENT:
                    raise


def _place(route: Route) -> tuple[ipaddress.IPv4Network, int, int]:
    """Return what a replacing route has in common with the one it replaces."""
    return route.destination, route.table, route.metric


def _links() -> dict[int, str]:
    return {link.index: link.name for link in linklist.dump()}


def _read_route(item: Any, links: dict[int, str]) -> Route:  # noqa: ANN401 - pyroute2 has no types
    via = item.get_attr("RTA_GATEWAY")
    oif = item.get_attr("RTA_OIF")
    return Route(
        destination=_network(item.get_attr("RTA_DST"), item["dst_len"]) or EVERYWHERE,
        via=ipaddress.IPv4Address(via) if via else None,
        dev=links.get(oif) if oif is not None else None,
        table=item.get_attr("RTA_TABLE"),
        metric=item.get_attr("RTA_PRIORITY") or 0,
        kind="unreachable" if item["type"] == _TYPES["unreachable"] else "unicast",
        onlink=bool(item["flags"] & _ONLINK),
    )


def _read_rule(item: Any) -> Rule:  # noqa: ANN401 - pyroute2 has no types
    mark = item.get_attr("FRA_FWMARK")
    return Rule(
        priority=item.get_attr("FRA_PRIORITY") or 0,
        table=item.get_attr("FRA_TABLE") if item["action"] == _LOOK_UP else None,
        from_=_network(item.get_attr("FRA_SRC"), item["src_len"]),
        to=_network(item.get_attr("FRA_DST"), item["dst_len"]),
        fwmark=mark,
        mask=item.get_attr("FRA_FWMASK") if mark is not None else WHOLE_MARK,
        iif=item.get_attr("FRA_IIFNAME"),
        oif=item.get_attr("FRA_OIFNAME"),
        uid=_uid(item.get_attr("FRA_UID_RANGE")),
    )


def _uid(range_: str | None) -> int | None:
    """Return the one user that a range, as `first:last`, is of."""
    first, _, last = (range_ or "").partition(":")
    return int(first) if first and first == last else None


def _network(address: str | None, length: int) -> ipaddress.IPv4Network | None:
    return ipaddress.IPv4Network(f"{address}/{length}") if address else None


def _route_message(route: Route, links: dict[int, str], owner: Owner) -> dict[str, Any]:
    message: dict[str, Any] = {
        "dst": str(route.destination),
        "table": route.table,
        "priority": route.metric,
        "type": _TYPES[route.kind],
        "proto": int(owner),
        "scope": _SCOPE_UNIVERSE,
    }
    if route.dev is not None:
        message["oif"] = next(index for index, name in links.items() if name == route.dev)
        message["scope"] = _SCOPE_LINK if route.via is None else _SCOPE_UNIVERSE
    if route.via is not None:
        message["gateway"] = str(route.via)
    if route.onlink:
        message["flags"] = _ONLINK
    return message


def _rule_message(rule: Rule, owner: Owner) -> dict[str, Any]:
    message: dict[str, Any] = {
        "priority": rule.priority,
        "protocol": int(owner),
        "family": socket.AF_INET,
        "action": _UNREACHABLE if rule.table is None else _LOOK_UP,
    }
    if rule.table is not None:
        message["table"] = rule.table
    if rule.from_ is not None:
        message |= {"src": str(rule.from_.network_address), "src_len": rule.from_.prefixlen}
    if rule.to is not None:
        message |= {"dst": str(rule.to.network_address), "dst_len": rule.to.prefixlen}
    if rule.fwmark is not None:
        message |= {"fwmark": rule.fwmark, "fwmask": rule.mask}
    if rule.iif is not None:
        message["iifname"] = rule.iif
    if rule.oif is not None:
        message["oifname"] = rule.oif
    if rule.uid is not None:
        message["uid_range"] = f"{rule.uid}:{rule.uid}"
    return message
