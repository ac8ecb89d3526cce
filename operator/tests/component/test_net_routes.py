from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv4Network

import pytest
from namespaces import Namespace
from pyroute2 import IPRoute

from piavpn.net import linklist, routes
from piavpn.net.routes import Owner, Route, Rule

CLUSTER = Route(
    destination=IPv4Network("10.96.0.0/12"),
    via=IPv4Address("169.254.1.1"),
    dev="eth0",
    onlink=True,
)
BACKSTOP = Route(table=100, metric=4000000000, kind="unreachable")
ON_LINK = Route(destination=IPv4Network("10.9.0.0/16"), dev="eth0", table=100)
IPV4_ROUTE_CHANGES, IPV4_RULE_CHANGES = 0x40, 0x80  # RTMGRP_*
RULES = (
    Rule(priority=100, table=100, oif="piaw0"),
    Rule(priority=110, table=100, fwmark=0x100, mask=0xF00),
    Rule(priority=115, table=100, from_=IPv4Network("10.244.0.5/32")),
    Rule(priority=117, table=103, uid=65533),
    Rule(priority=120, table=None, iif="vpn0"),
)


def owned(owner: Owner) -> tuple[frozenset[Route], frozenset[Rule]]:
    links = {link.index: link.name for link in linklist.dump()}
    with IPRoute() as kernel:
        return routes.dump(kernel, links).owned(owner)


@pytest.fixture(autouse=True)
def _eth0(pod: Namespace) -> None:
    pod.run("ip link add eth0 type veth peer name there")
    pod.run("ip link set there up; ip addr add 10.244.0.5/24 dev eth0; ip link set eth0 up")


def test_the_kernel_holds_what_was_asked_for(pod: Namespace) -> None:
    with pod.entered():
        routes.apply([CLUSTER, BACKSTOP, ON_LINK], RULES, owner=Owner.NODE_AGENT)
        assert owned(Owner.NODE_AGENT) == (
            frozenset({CLUSTER, BACKSTOP, ON_LINK}),
            frozenset(RULES),
        )
    assert "10.96.0.0/12 via 169.254.1.1 dev eth0" in pod.run("ip route")
    assert "unreachable default" in pod.run("ip route show table 100")
    assert "110:\tfrom all fwmark 0x100/0xf00 lookup 100" in pod.run("ip rule")
    assert "unreachable" in pod.run("ip rule show pref 120")


def test_a_second_time_changes_nothing(pod: Namespace) -> None:
    with pod.entered(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as changes:
        changes.bind((0, IPV4_ROUTE_CHANGES | IPV4_RULE_CHANGES))
        changes.settimeout(0)
        routes.apply([CLUSTER, BACKSTOP], RULES, owner=Owner.NODE_AGENT)
        assert len(received(changes)) == 2 + len(RULES)
        routes.apply([CLUSTER, BACKSTOP], RULES, owner=Owner.NODE_AGENT)
        assert received(changes) == []


def received(changes: socket.socket) -> list[bytes]:
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(changes.recv(65536))
    return messages


def test_stale_entries_go_and_a_changed_route_is_replaced(pod: Namespace) -> None:
    moved = Route(
        destination=CLUSTER.destination, via=IPv4Address("10.244.0.1"), dev="eth0", onlink=True
    )
    with pod.entered():
        routes.apply([CLUSTER, BACKSTOP], RULES, owner=Owner.NODE_AGENT)
        routes.apply([moved], RULES[:1], owner=Owner.NODE_AGENT)
        assert owned(Owner.NODE_AGENT) == (frozenset({moved}), frozenset(RULES[:1]))


def test_what_others_own_stays(pod: Namespace) -> None:
    pod.run("ip route add 10.200.0.0/16 via 10.244.0.1")
    before = pod.run("ip route show table all")
    with pod.entered():
        routes.apply([BACKSTOP], [], owner=Owner.GATEWAY)
        routes.apply([CLUSTER], [], owner=Owner.NODE_AGENT)
        routes.apply([], [], owner=Owner.NODE_AGENT)
        assert owned(Owner.GATEWAY) == (frozenset({BACKSTOP}), frozenset())
        routes.apply([], [], owner=Owner.GATEWAY)
    assert pod.run("ip route show table all") == before


def test_a_route_over_a_link_that_is_not_there_is_refused_and_nothing_changes(
    pod: Namespace,
) -> None:
    with pod.entered():
        with pytest.raises(routes.MissingLinkError, match="no link piaw0"):
            routes.apply([BACKSTOP, Route(dev="piaw0")], RULES, owner=Owner.GATEWAY)
        assert owned(Owner.GATEWAY) == (frozenset(), frozenset())
