"""The gateway's policy routing. Pure: routes and rules as data.

PIA's own addresses (servers' inner addresses, resolvers, peers) lie in 10/8 and may collide with
the cluster's ranges in the main table. So nothing of the tunnel ever looks there: a packet goes by
its slot's table, because of the mark of its connection or the link that its socket is bound to.
"""

from __future__ import annotations

from collections.abc import Collection

from piavpn.api import names
from piavpn.gateway import dns
from piavpn.gateway.slots import HAIRPIN_MARK, MARK_MASK, SLOTS
from piavpn.net.routing import Route, Rule

_BOUND_SOCKETS, _HAIRPIN, _MARKED, _QUESTIONS, _PROXIED, _BACKSTOP = 100, 105, 110, 115, 117, 120
"""Priorities; the node agent's rules for replies of its lock lie below."""
_QUESTIONS_TABLE, _PROXIED_TABLE = 102, 103

_MAIN_TABLE = 254
_LAST_METRIC = 4_000_000_000


def wanted(
    configured: Collection[str],
) -> tuple[tuple[Route, ...], tuple[Rule, ...]]:
    """Return the gateway's routes and rules.

    Args:
        configured: links of the slots that have a session, up and with their address.

    The resolver's questions need some route before the rules mark them and send them by a slot: it
    leads to the loopback, where nobody answers.
    What the HTTP proxy sends begins on any slot that has a session, and the rules send it by the
    current one; where there is none, the proxy is told at once.
    A slot's `unreachable` route stays when its link goes; and what came from the bridge never
    reaches the main table, where the way to the cluster is, save what is for an app of that bridge:
    it bears a mark of its own, and the rules let it go by the bridge alone.
    """
    ways = [Route(dev=s.link, table=s.table) for s in SLOTS if s.link in configured]
    proxied = [
        Route(dev=s.link, table=_PROXIED_TABLE, metric=number)
        for number, s in enumerate(SLOTS, start=1)
        if s.link in configured
    ]
    tables = (*(s.table for s in SLOTS), _PROXIED_TABLE)
    ends = [Route(table=table, metric=_LAST_METRIC, kind="unreachable") for table in tables]
    bound = [Rule(_BOUND_SOCKETS, s.table, oif=s.link) for s in SLOTS]
    hairpin = Rule(_HAIRPIN, _MAIN_TABLE, fwmark=HAIRPIN_MARK, mask=MARK_MASK)
    marked = [Rule(_MARKED, s.table, fwmark=s.mark, mask=MARK_MASK) for s in SLOTS]
    asked = Route(dns.UPSTREAM_NETWORK, dev="lo", table=_QUESTIONS_TABLE)
    questions = Rule(_QUESTIONS, _QUESTIONS_TABLE, to=dns.UPSTREAM_NETWORK)
    proxy = Rule(_PROXIED, _PROXIED_TABLE, uid=names.HTTP_PROXY_USER)
    backstop = Rule(_BACKSTOP, None, iif=names.POD_LINK)
    return (*ways, *proxied, *ends, asked), (*bound, hairpin, *marked, questions, proxy, backstop)
