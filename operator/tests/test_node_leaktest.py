from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from piavpn.node import leaktest
from piavpn.node.leaktest import Attempt, Link, Outcome, Protocol, Run, Seen

CLUSTER = (IPv4Network("10.96.0.0/12"),)
ETH0 = Link("eth0", IPv4Address("10.244.0.5"))
UDP, TCP = Protocol.UDP, Protocol.TCP


def outside(last: int) -> IPv4Address:
    return IPv4Address(f"192.0.2.{last}")


RESOLVER = IPv4Address("10.111.255.254")
EVERYTHING = (
    Attempt("UDP by the default route", UDP, outside(1), 9),
    Attempt("TCP by the default route", TCP, outside(2), 443),
    Attempt("IPv6 by the default route", UDP, IPv6Address("2001:db8::1"), 9),
    Attempt("UDP bound to a link", UDP, outside(3), 9, link="eth0"),
    Attempt("TCP bound to a link", TCP, outside(4), 443, link="eth0"),
    Attempt("DNS by UDP bound to a link", UDP, outside(5), 53, link="eth0"),
    Attempt("DNS by TCP bound to a link", TCP, outside(6), 53, link="eth0"),
    Attempt("DNS over TLS bound to a link", TCP, outside(7), 853, link="eth0"),
    Attempt("DNS over DTLS bound to a link", UDP, outside(8), 853, link="eth0"),
    Attempt("IPv6 bound to a link", UDP, IPv6Address("2001:db8::2"), 9, link="eth0"),
    Attempt("UDP bound to a link's address", UDP, outside(9), 9, source=ETH0.address),
    Attempt("TCP bound to a link's address", TCP, outside(10), 9, source=ETH0.address),
    Attempt("DNS to the cluster", UDP, RESOLVER, 53),
    Attempt("DNS to the cluster", TCP, RESOLVER, 53),
    Attempt("DNS to the cluster", UDP, RESOLVER, 853),
    Attempt("DNS to the cluster", TCP, RESOLVER, 853),
)
STOPPED = Run(
    tried=EVERYTHING,
    sent=EVERYTHING[:4],
    seen=(),
    ways={outside(1): "vpn0"},
    counted=4,
)


def test_everything_is_tried_on_every_link_and_network_of_the_cluster() -> None:
    assert leaktest.attempts([ETH0], CLUSTER) == EVERYTHING
    another = Link("net1", None)
    added = set(leaktest.attempts([ETH0, another], CLUSTER)) - set(EVERYTHING)
    assert {attempt.link for attempt in added} == {"net1"}
    assert len(added) == 7


@pytest.mark.parametrize(
    ("network", "asked"),
    [
        ("10.96.0.0/12", "10.111.255.254"),
        ("10.0.0.4/31", "10.0.0.4"),
        ("10.0.0.4/32", "10.0.0.4"),
    ],
)
def test_a_network_of_any_size_has_an_address_to_ask(network: str, asked: str) -> None:
    assert leaktest.targets([IPv4Network(network)]) == (IPv4Address(asked),)


def test_what_is_all_dropped_and_counted_is_no_leak() -> None:
    assert leaktest.judge(STOPPED) == Outcome(tried=16, leaks=(), uncounted=0)


@pytest.mark.parametrize(
    ("seen", "leak"),
    [
        (Seen("eth0", outside(3), 9), "UDP bound to a link left by eth0"),
        (Seen("eth0", outside(4), None), "TCP bound to a link left by eth0"),
        (Seen("eth0", outside(200), 9), "a packet to 192.0.2.200 left by eth0"),
        (Seen("net1", IPv6Address("2001:db8::1"), 9), "IPv6 by the default route left by net1"),
        (Seen("eth0", IPv6Address("ff02::16"), 0), "a packet to ff02::16 left by eth0"),
        (Seen("eth0", RESOLVER, 53), "DNS to the cluster left by eth0"),
    ],
)
def test_a_packet_that_is_handed_to_a_link_is_a_leak(seen: Seen, leak: str) -> None:
    assert leaktest.judge(dataclasses.replace(STOPPED, seen=(seen, seen))).leaks == (leak,)


@pytest.mark.parametrize(
    "seen",
    [
        Seen("vpn0", outside(1), 9),
        Seen("lo", outside(1), 9),
        Seen("eth0", RESOLVER, 443),
        Seen("eth0", RESOLVER, 0),
    ],
    ids=["by the gateway", "within the pod", "the cluster's", "a ping in the cluster"],
)
def test_what_may_leave_is_no_leak(seen: Seen) -> None:
    assert leaktest.judge(dataclasses.replace(STOPPED, seen=(seen,))).leaks == ()


def test_a_route_to_the_outside_past_the_gateway_is_a_leak() -> None:
    found = leaktest.judge(dataclasses.replace(STOPPED, ways={outside(1): "eth0"}))
    assert found.leaks == ("the route to 192.0.2.1 leads out by eth0",)
    assert leaktest.judge(dataclasses.replace(STOPPED, ways={})).leaks == ()


def test_a_pod_without_a_lock_leaks() -> None:
    found = leaktest.judge(dataclasses.replace(STOPPED, counted=None))
    assert found == Outcome(tried=16, leaks=("there is no lock",), uncounted=4)


def test_packets_that_nobody_counted_are_told() -> None:
    assert leaktest.judge(dataclasses.replace(STOPPED, counted=1)).uncounted == 3


def test_only_counters_of_probes_count_and_a_new_lock_s_begin_at_nothing() -> None:
    before = {"probe_ipv4": 10, "probe_dns": 1, "dropped_dns": 5}
    assert leaktest.counted(before, {"probe_ipv4": 12, "probe_dns": 2, "dropped_dns": 9}) == 3
    assert leaktest.counted(before, {"probe_ipv4": 2, "probe_dns": 0, "dropped_dns": 0}) == 0
    assert leaktest.counted(before, None) is None
    assert leaktest.counted(None, before) is None
