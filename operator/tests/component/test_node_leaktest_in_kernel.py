from __future__ import annotations

import dataclasses
import errno
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address

import namespaces
import pytest
from nodeworld import CLUSTER, NETWORK, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, leakprobe, leaktest, lock, outlet, outlets
from piavpn.node.alarms import Alarms
from piavpn.node.attach import Done
from piavpn.node.leaktest import Outcome
from piavpn.node.leaktests import LeakTests
from piavpn.node.model import ClusterLink, Owner, Pod, Role
from piavpn.node.report import Report
from piavpn.node.verdicts import Verdict

PLAN = service("10.100.0.10")
TOLD_OF = Pod("uid", "app-0", "media", Role.SERVICE, "home", Owner("app", "media"), None)
UNLOCK = "nft delete table inet piavpn_lock"
# A lock that lists all counters, counts nothing and stops nothing.
PASS_ALL = "nft insert rule inet piavpn_lock outgoing accept"


@dataclasses.dataclass(frozen=True)
class Locked:
    """An attached pod, to be tested as the agent does it."""

    world: World
    pod: TestPod

    def test(self) -> Outcome:
        return leaktest.judge(leakprobe.run(self.pod.namespace.fd, CLUSTER))

    def raw_frames_stopped(self) -> bool | None:
        address = IPv4Address(self.pod.cluster_address)
        return leakprobe.raw_frames_stopped(self.pod.namespace.fd, address, 0.5)

    def counted(self) -> dict[str, int]:
        """Return what the lock has counted, but nothing that is zero."""
        with self.pod.namespace.entered():
            counters = nft.counters(lock.TABLE)
        return {name: found.packets for name, found in counters.items() if found.packets}


@pytest.fixture
def locked(world: World) -> Iterator[Locked]:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        pod = world.pod()
        assert isinstance(world.attacher().bring(PLAN, pod.seen), Done)
        yield Locked(world, pod)


def test_nothing_leaks_from_a_locked_pod_and_the_tests_packets_are_counted_apart(
    locked: Locked,
) -> None:
    assert locked.test() == Outcome(tried=20, leaks=(), uncounted=0)
    assert locked.counted() == {"probe_ipv4": 8, "probe_dns": 8, "probe_tunnel": 2}


@pytest.mark.parametrize("unlock", [UNLOCK, PASS_ALL])
@pytest.mark.parametrize("answers_arp", [True, False])
def test_every_way_out_of_an_unlocked_pod_is_found(
    locked: Locked, unlock: str, *, answers_arp: bool
) -> None:
    # Many CNI plugins answer ARP for the next hop alone.
    mac = outlets.mac_behind(locked.pod.namespace.fd, "eth0")
    assert mac is not None
    locked.pod.run(f"ip neigh replace 169.254.1.1 lladdr {mac.hex(':')} dev eth0 nud permanent")
    locked.world.node.run(f"sysctl -qw net.ipv4.conf.veth5.proxy_arp={int(answers_arp)}")
    locked.pod.run(unlock)
    outcome = locked.test()
    assert set(outcome.leaks) >= {
        f"{what} left by eth0"
        for what in (
            "UDP bound to a link",
            "TCP bound to a link",
            "DNS by UDP bound to a link",
            "DNS by TCP bound to a link",
            "DNS over TLS bound to a link",
            "DNS over DTLS bound to a link",
            "UDP bound to a link's address",
            "TCP bound to a link's address",
            "DNS to the cluster",
        )
    }
    assert outcome.uncounted >= 16


def test_ipv6_out_of_an_unlocked_pod_is_found(locked: Locked) -> None:
    locked.pod.run(f"{UNLOCK}; sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    locked.pod.run("ip -6 addr add 2001:db8:1::5/64 dev eth0 nodad")
    locked.pod.run("ip -6 route add default via 2001:db8:1::1 dev eth0")
    locked.pod.run("ip -6 neigh add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev eth0")
    assert set(locked.test().leaks) >= {
        "IPv6 by the default route left by eth0",
        "IPv6 bound to a link left by eth0",
        "the route to 2001:db8::1 leads out by eth0",
    }


def test_a_default_route_past_the_gateway_is_found_though_the_lock_holds(locked: Locked) -> None:
    locked.pod.run("ip route add 192.0.2.1 dev eth0")
    assert locked.test().leaks == ("the route to 192.0.2.1 leads out by eth0",)


def test_a_lock_that_drops_less_than_it_should_is_found(locked: Locked) -> None:
    locked.pod.run("nft insert rule inet piavpn_lock dns tcp dport 853 accept")
    assert locked.test().leaks == ("DNS to the cluster left by eth0",)


def test_another_link_of_the_pod_is_tried_too(locked: Locked) -> None:
    locked.pod.run("ip link add net1 type bridge; ip link set net1 up")
    assert locked.test() == Outcome(tried=27, leaks=(), uncounted=0)
    locked.pod.run(PASS_ALL)
    assert "TCP bound to a link left by net1" in locked.test().leaks


def test_what_the_app_sends_meanwhile_is_no_leak(locked: Locked) -> None:
    stop = threading.Event()
    busy = threading.Thread(target=_talk_to_the_cluster, args=(locked.pod, stop))
    busy.start()
    try:
        outcomes = [locked.test() for _ in range(5)]
    finally:
        stop.set()
        busy.join()
    assert {outcome.leaks for outcome in outcomes} == {()}
    assert {outcome.uncounted for outcome in outcomes} == {0}


def test_answers_to_whoever_feigns_an_address_of_the_test_are_no_leak(locked: Locked) -> None:
    # Else a neighbour, or whoever reaches a NodePort, could have any pod cut off.
    locked.world.node.run("ip addr add 192.0.2.9/32 dev lo")
    stop, answers = threading.Event(), list[int]()
    stranger = threading.Thread(target=_ask_in_anothers_name, args=(locked, stop, answers))
    stranger.start()
    try:
        outcomes = []
        while len(answers) < 100:
            outcomes.append(locked.test())
    finally:
        stop.set()
        stranger.join()
    assert {outcome.leaks for outcome in outcomes} == {()}


def _ask_in_anothers_name(locked: Locked, stop: threading.Event, answers: list[int]) -> None:
    """Ask at a port where nobody listens: the kernel answers itself. So it does by ARP."""
    while not stop.is_set():
        locked.world.node.run(f"ip neigh flush to {locked.pod.cluster_address}")
        with locked.world.node.entered():
            asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asking.bind(("192.0.2.9", 9))
            asking.settimeout(1)
            if asking.connect_ex((locked.pod.cluster_address, 9)) == errno.ECONNREFUSED:
                answers.append(1)


def _talk_to_the_cluster(pod: TestPod, stop: threading.Event) -> None:
    while not stop.is_set():
        pod.run("for port in 80 443 5353; do echo x > /dev/udp/10.96.0.1/$port; done", check=False)


def test_raw_frames_are_dropped_on_the_nodes_side_and_counted_apart(locked: Locked) -> None:
    assert locked.raw_frames_stopped() is True
    found = nft.all_counters(outlet.TABLES)
    assert found[outlet.PORTS_TABLE]["probe_ipv6"].packets == 1
    assert found[outlet.FORWARD_TABLE]["probe_outside"].packets == 1
    dropped = [n.packets for t in found.values() for k, n in t.items() if k.startswith("dropped_")]
    assert set(dropped) == {0}


@pytest.mark.parametrize(
    "rule",
    ["netdev piavpn_outlets incoming accept", "inet piavpn_outlets outgoing accept"],
    ids=["ingress", "outgoing"],
)
def test_a_part_of_the_nodes_filter_that_sees_no_raw_frames_is_noticed(
    locked: Locked, rule: str
) -> None:
    locked.world.node.run(f"nft insert rule {rule}")
    assert locked.raw_frames_stopped() is False


def test_a_pod_without_an_end_on_the_node_has_no_filter_there(locked: Locked) -> None:
    other = locked.world.pod(cluster_network=False)
    other.run("ip link add eth0 type bridge; ip link set eth0 up")
    address = IPv4Address("10.244.0.6")
    assert leakprobe.raw_frames_stopped(other.namespace.fd, address, 0.5) is None


@dataclasses.dataclass(frozen=True)
class Tests:
    """Leak tests of one attached pod."""

    __test__ = False
    locked: Locked
    alarms: Alarms
    bell: threading.Event
    tests: LeakTests

    def verdict(self) -> Verdict | None:
        return self.tests.verdict(self.locked.pod.seen)

    def report(self) -> Report:
        return self.tests.report(TOLD_OF, self.locked.pod.seen)

    def until_answered(self, time: str) -> None:
        """Wait until the report says that it answers this request."""

        def answered() -> bool:
            self.tests.test_due()
            return self.report().message.endswith(f"on the node's side; asked for at {time}")

        namespaces.eventually(answered, what=f"an answer to the request of {time}")

    def retest(self) -> Verdict:
        """Test again, as soon as that is allowed after a change."""
        before = self.verdict()
        self.tests.hurry(self.locked.pod.seen)

        def tested() -> bool:
            self.tests.test_due()
            return self.verdict() is not before

        namespaces.eventually(tested, what="another test")
        found = self.verdict()
        assert found is not None
        return found


@pytest.fixture
def tests(locked: Locked) -> Tests:
    bell = threading.Event()
    alarms = Alarms(bell)
    made = Tests(locked, alarms, bell, LeakTests(alarms, bell))
    link = ClusterLink(IPv4Address(locked.pod.cluster_address), None)
    made.tests.watch(locked.pod.seen, PLAN, link)
    return made


def test_a_pod_is_tested_at_once_and_then_only_when_something_changes(tests: Tests) -> None:
    assert tests.verdict() is None
    tests.tests.test_due()
    first = tests.verdict()
    assert first is not None
    assert first.passed
    assert tests.bell.is_set()
    tests.tests.test_due()
    assert tests.verdict() is first
    assert tests.retest() is not first
    assert tests.tests.tally(tests.locked.pod.seen).passed == 2


def test_a_leak_rings_the_alarm_and_is_remembered(tests: Tests) -> None:
    tests.tests.test_due()
    assert tests.alarms.changed() == set()
    tests.locked.pod.run(UNLOCK)
    assert not tests.retest().passed
    seen = tests.locked.pod.seen
    assert tests.alarms.changed() == {seen}
    assert tests.tests.leak(seen).startswith("UDP bound to a link left by eth0; ")
    assert tests.tests.leak(seen).endswith("and 6 more")


def test_packets_that_only_the_lock_does_not_count_cut_no_pod_off_but_are_told_of(
    tests: Tests,
) -> None:
    # Dropped, but by nobody whom we know.
    tests.locked.pod.run("nft insert rule inet piavpn_lock cluster_link drop")
    seen = tests.locked.pod.seen
    for _ in range(2):
        assert not tests.retest().passed
        assert tests.report().reason == "NotTestedYet"
    assert not tests.retest().passed
    assert (tests.report().status, tests.report().reason) == ("Unknown", "Uncounted")
    assert tests.report().message.startswith(
        "the lock has counted 16 of 20 packets too few, test after test: none was seen to leave"
    )
    assert tests.tests.leak(seen) == ""
    assert tests.alarms.changed() == set()
    # The control: what is seen to leave is a leak, whatever was uncounted before.
    tests.locked.pod.run(UNLOCK)
    tests.retest()
    assert tests.report().reason == "Leaked"
    assert tests.alarms.changed() == {seen}


def test_a_test_that_is_asked_for_is_made_soon_and_says_so_from_then_on(tests: Tests) -> None:
    tests.tests.test_due()
    assert tests.report().message.endswith(" failed; raw frames are dropped on the node's side")
    asked = datetime(2026, 11, 23, 12, tzinfo=UTC)
    tests.tests.ask(tests.locked.pod.seen, asked)
    tests.until_answered("2026-11-23T12:00:00Z")
    for _ in range(3):
        tests.tests.ask(tests.locked.pod.seen, asked)
        tests.tests.test_due()
    assert tests.tests.tally(tests.locked.pod.seen).passed == 2
    tests.retest()
    tests.until_answered("2026-11-23T12:00:00Z")


def test_whoever_asks_again_and_again_has_the_last_wish_only_and_after_seconds(
    tests: Tests,
) -> None:
    tests.tests.test_due()
    started = time.monotonic()
    for minute in range(50):
        asked = datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
        tests.tests.ask(tests.locked.pod.seen, asked)
        tests.tests.test_due()
    tests.until_answered("2026-11-23T12:49:00Z")
    runs = tests.tests.tally(tests.locked.pod.seen).passed
    assert runs <= 1 + (time.monotonic() - started) / 5


def test_a_sandbox_that_has_ended_is_no_leak(tests: Tests) -> None:
    tests.tests.test_due()
    before = tests.verdict()
    tests.locked.world.end(tests.locked.pod)
    tests.tests.hurry(tests.locked.pod.seen)
    tests.tests.test_due()
    assert tests.verdict() is before
    tests.tests.keep(())
    assert tests.verdict() is None


def test_a_missing_filter_on_the_nodes_side_leaves_the_verdict_open(tests: Tests) -> None:
    tests.locked.world.node.run("nft delete table netdev piavpn_outlets")
    verdict = tests.retest()
    assert not verdict.passed
    assert verdict.leaks == ()
    assert verdict.told == (
        "could not be made: the filter on the node's side lacks netdev piavpn_outlets"
    )


FRAMES = """
table netdev frames {
  counter sent { }
  chain seen {
    type filter hook ingress device "veth5" priority -500; policy accept;
    ip daddr 192.0.2.0/24 counter name sent
  }
}
"""


def test_an_idle_filter_on_the_nodes_side_is_tried_but_once_until_it_works_again(
    tests: Tests,
) -> None:
    # As with Cilium's BPF host routing: to wait twice for each pod would hold up all the others.
    def sent() -> int:
        return nft.counters("netdev frames")["sent"].packets

    nft.load(FRAMES)
    nft.load("insert rule inet piavpn_outlets outgoing accept\n")
    found = [(tests.retest().raw_stopped, sent()) for _ in range(3)]
    assert found == [(False, 2), (False, 3), (False, 4)]
    nft.load("flush chain inet piavpn_outlets outgoing\n")
    nft.load("add rule inet piavpn_outlets outgoing counter name probe_outside drop\n")
    assert (tests.retest().raw_stopped, sent()) == (True, 5)
