from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from ipaddress import IPv4Network

import namespaces
import nodeworld
import pytest
from nodeworld import CLUSTER, GATEWAY, NETWORK, OUTSIDE, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, lock
from piavpn.node.attach import Attacher, Done
from piavpn.node.decide import Problem, Step

ADDRESS = "10.100.0.10"


@pytest.fixture
def attacher(world: World) -> Iterator[Attacher]:
    """An attacher; the test's thread is in the node's namespace, as the agent is."""
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        yield world.attacher()


@pytest.fixture
def pod(world: World) -> TestPod:
    return world.pod()


def test_a_pod_is_locked_before_it_is_attached_and_read_back(
    attacher: Attacher, pod: TestPod
) -> None:
    assert attacher.bring(service(ADDRESS), pod.seen) == Done(
        (Step.LOCK, Step.SYSCTLS, Step.OUTLET, Step.ATTACH, Step.ROUTES)
    )
    assert attacher.bring(service(ADDRESS), pod.seen) == Done(())


def test_an_attached_pods_only_way_out_is_the_gateway(attacher: Attacher, pod: TestPod) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    assert pod.run("ip -4 route").splitlines() == [
        "default via 10.100.0.2 dev vpn0 proto 112 ",
        "10.96.0.0/12 via 169.254.1.1 dev eth0 proto 112 onlink ",
        "10.100.0.0/24 dev vpn0 proto kernel scope link src 10.100.0.10 ",
        "10.244.0.0/16 via 169.254.1.1 dev eth0 proto 112 onlink ",
        "169.254.1.1 dev eth0 scope link ",
    ]
    assert pod.run("ip -6 route show default") == ""


def test_the_link_of_an_ended_pod_makes_way_for_the_next_of_its_address(
    attacher: Attacher, world: World, pod: TestPod
) -> None:
    """The kernel may keep an ended pod's network: it would answer for the new one's MAC."""
    other = world.pod()
    attacher.bring(service("10.100.0.11"), other.seen)
    attacher.bring(service(ADDRESS), pod.seen)
    world.end(pod)
    assert isinstance(attacher.bring(service(ADDRESS), world.pod().seen), Done)
    assert "vpn0" not in pod.run("ip -o link")
    assert "vpn0" in other.run("ip -o link")


def test_a_pod_without_cluster_network_is_left_alone_for_now(
    attacher: Attacher, world: World
) -> None:
    early = world.pod(cluster_network=False)
    outcome = attacher.bring(service(ADDRESS), early.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "WaitingForClusterNetwork"
    world.join_cluster(early)
    assert isinstance(attacher.bring(service(ADDRESS), early.seen), Done)


DAMAGE_AND_REPAIR = [
    ("nft delete table inet piavpn_lock", (Step.LOCK,)),
    ("nft delete chain inet piavpn_lock forward", (Step.LOCK,)),
    ("ip route add default via 169.254.1.1 dev eth0 metric 5", (Step.ROUTES,)),
    ("ip route add 198.51.100.0/24 via 169.254.1.1 dev eth0", (Step.ROUTES,)),
    ("ip route add default via 169.254.1.1 dev eth0 table 77", (Step.ROUTES,)),
    ("ip rule add pref 10 lookup 4096", (Step.ROUTES,)),
    ("ip route del 10.96.0.0/12", (Step.ROUTES,)),
    ("ip rule del pref 50", (Step.ROUTES,)),
    ("sysctl -qw net.ipv4.conf.eth0.rp_filter=1", (Step.SYSCTLS,)),
    ("ip addr add 10.100.0.99/24 dev vpn0", (Step.DETACH, Step.ATTACH, Step.ROUTES)),
    ("ip link del vpn0", (Step.ATTACH, Step.ROUTES)),
]


def test_a_pod_that_lost_its_lock_while_no_agent_watched_is_cut_off(
    world: World, attacher: Attacher, pod: TestPod
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run("nft delete table inet piavpn_lock")
    assert world.attacher().bring(service(ADDRESS), pod.seen) == Problem(
        "Tampered",
        "the lock went while no agent watched: the pod is cut off and will be replaced",
    )


@pytest.mark.parametrize(("damage", "repair"), DAMAGE_AND_REPAIR[1:])
def test_what_an_agent_finds_at_its_start_is_repaired_and_nothing_else_is_touched(
    world: World, attacher: Attacher, pod: TestPod, damage: str, repair: tuple[Step, ...]
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run(damage)
    restarted = world.attacher()
    assert restarted.bring(service(ADDRESS), pod.seen) == Done(repair)
    assert restarted.bring(service(ADDRESS), pod.seen) == Done(())


@pytest.mark.parametrize(("damage", "repair"), DAMAGE_AND_REPAIR)
def test_a_gateway_is_repaired_at_any_time(
    attacher: Attacher, pod: TestPod, damage: str, repair: tuple[Step, ...]
) -> None:
    nodeworld.add_tunnels(pod)
    attacher.bring(GATEWAY, pod.seen)
    pod.run(damage)
    assert attacher.bring(GATEWAY, pod.seen) == Done(repair)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("nft delete chain inet piavpn_lock forward", "the lock was changed"),
        ("nft delete table inet piavpn_lock", "the lock is gone"),
        (
            "ip route add default via 169.254.1.1 dev eth0 metric 5",
            "a route to 0.0.0.0/0 was added on eth0",
        ),
        (
            "ip route add default via 169.254.1.1 dev eth0 metric 5 proto kernel",
            "a route to 0.0.0.0/0 was added on eth0",
        ),
        (
            # As a gateway marks its own.
            "ip route add default via 169.254.1.1 dev eth0 metric 5 proto 113",
            "a route to 0.0.0.0/0 was added on eth0",
        ),
        (
            "ip route add default via 169.254.1.1 dev eth0 table 77; ip rule add pref 10 lookup 77",
            "a route to 0.0.0.0/0 was added on eth0 in table 77",
        ),
        (
            "ip route add default via 169.254.1.1 dev eth0 table local",
            "a route to 0.0.0.0/0 was added on eth0 in table 255",
        ),
        (
            "H='nexthop via 169.254.1.1 dev eth0'; ip route add 128.0.0.0/1 $H $H",
            "a route to 128.0.0.0/1 was added on several links",
        ),
        ("ip route add 203.0.113.0/24 dev eth0", "a route to 203.0.113.0/24 was added on eth0"),
        ("ip addr add 128.0.0.1/1 dev eth0", "a route to 128.0.0.0/1 was added on eth0"),
        ("ip rule add pref 10 lookup 4096", "a routing rule for table 4096 was added"),
        ("ip route del default", "routes or routing rules were changed"),
        ("ip rule del pref 50", "routes or routing rules were changed"),
        ("ip addr add 10.100.0.99/24 dev vpn0", "the link to the bridge was changed"),
        ("ip link del vpn0", "the link to the bridge is gone"),
    ],
)
def test_a_service_that_is_damaged_after_it_was_right_is_cut_off_for_good(
    world: World, attacher: Attacher, pod: TestPod, damage: str, told: str
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    assert "1 received" in world.node.run(f"ping -c 1 -W 2 {pod.cluster_address}")
    pod.run(damage)
    cut_off = Problem("Tampered", f"{told}: the pod is cut off and will be replaced")
    assert attacher.bring(service(ADDRESS), pod.seen) == cut_off
    assert world.node.run("ip -o link show up type veth | grep -v wan", check=False) == ""
    assert "0 received" in world.node.run(f"ping -c 1 -W 1 {pod.cluster_address}", check=False)
    # Neither its repair by whoever did it, nor another agent, opens it again.
    assert attacher.bring(service(ADDRESS), pod.seen) == cut_off
    by_another = world.attacher().bring(service(ADDRESS), pod.seen)
    assert isinstance(by_another, Problem)
    assert by_another.reason == "Tampered"


def test_what_others_add_and_leads_nowhere_outside_is_left_alone(
    attacher: Attacher, pod: TestPod
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    # As a service mesh does.
    pod.run(
        "ip rule add fwmark 0x111 pref 32764 lookup 100; ip route add local 0/0 dev lo table 100"
    )
    pod.run(
        "ip route add 10.244.7.0/24 via 169.254.1.1 dev eth0; ip route add blackhole 192.0.2.0/24"
    )
    before = pod.run("ip rule; ip route show table all")
    assert attacher.bring(service(ADDRESS), pod.seen) == Done(())
    assert pod.run("ip rule; ip route show table all") == before


def test_a_pod_whose_cluster_network_is_taken_down_is_cut_off_and_its_sandbox_s_end_awaited(
    world: World, attacher: Attacher, pod: TestPod
) -> None:
    """So do some container runtimes, as CRI-O, before they end a sandbox."""
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run("ip link del eth0")
    ending = Problem(
        "WaitingForSandbox",
        "the pod's link to the cluster was taken down, as before the end of a sandbox: the pod is"
        " cut off",
    )
    assert attacher.bring(service(ADDRESS), pod.seen) == ending
    assert world.node.run("ip -o link show up type veth | grep -v wan", check=False) == ""
    # Looking again changes nothing, until its lock goes, too.
    assert attacher.bring(service(ADDRESS), pod.seen) == ending
    pod.run("nft delete table inet piavpn_lock")
    outcome = attacher.bring(service(ADDRESS), pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "Tampered"


def test_a_pod_that_lives_on_without_its_cluster_network_was_tampered_with(
    world: World, pod: TestPod
) -> None:
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        attacher = world.attacher(teardown_seconds=0)
        attacher.bring(service(ADDRESS), pod.seen)
        pod.run("ip link del eth0")
        outcome = attacher.bring(service(ADDRESS), pod.seen)
    assert outcome == Problem(
        "Tampered",
        "the link to the cluster went, and the sandbox did not end: the pod is cut off and will be"
        " replaced",
    )
    assert world.node.run("ip -o link show up type veth | grep -v wan", check=False) == ""


def test_a_pod_with_an_address_that_is_none_of_the_cluster_s_is_not_attached(
    attacher: Attacher, pod: TestPod
) -> None:
    elsewhere = (IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16"))
    wrong = dataclasses.replace(service(ADDRESS), cluster=elsewhere)
    outcome = attacher.bring(wrong, pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "ClusterCIDRsWrong"
    assert "vpn0" not in pod.run("ip -o link")
    # One that was attached before keeps its lock, and is watched on.
    assert isinstance(attacher.bring(service(ADDRESS), pod.seen), Done)
    assert attacher.bring(wrong, pod.seen) == outcome
    assert "10.244.0.0/16" in pod.run("nft list table inet piavpn_lock")
    pod.run("nft delete table inet piavpn_lock")
    damaged = attacher.bring(wrong, pod.seen)
    assert isinstance(damaged, Problem)
    assert damaged.reason == "Tampered"


def test_only_the_damaged_pod_is_cut_off(world: World, attacher: Attacher, pod: TestPod) -> None:
    other = world.pod()
    attacher.bring(service(ADDRESS), pod.seen)
    attacher.bring(service("10.100.0.11"), other.seen)
    pod.run("nft delete table inet piavpn_lock")
    attacher.bring(service(ADDRESS), pod.seen)
    assert attacher.bring(service("10.100.0.11"), other.seen) == Done(())
    assert "1 received" in world.node.run(f"ping -c 1 -W 2 {other.cluster_address}")


def test_a_pod_is_watched_on_when_its_plan_cannot_be_told_any_more(
    attacher: Attacher, pod: TestPod
) -> None:
    unknown = Problem("NetworkUnknown", "PiaVpn home is gone")
    assert attacher.bring(unknown, pod.seen) == unknown
    attacher.bring(service(ADDRESS), pod.seen)
    assert attacher.bring(unknown, pod.seen) == unknown
    pod.run("nft delete table inet piavpn_lock")
    outcome = attacher.bring(unknown, pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "Tampered"


def test_an_outdated_lock_is_replaced_and_cuts_nothing_off(
    world: World, attacher: Attacher, pod: TestPod
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    grown = dataclasses.replace(service(ADDRESS), cluster=(*CLUSTER, IPv4Network("10.245.0.0/16")))
    assert attacher.bring(grown, pod.seen) == Done((Step.LOCK, Step.ROUTES))
    assert attacher.bring(grown, pod.seen) == Done(())
    assert "1 received" in world.node.run(f"ping -c 1 -W 2 {pod.cluster_address}")


def test_another_agent_finds_all_in_order_and_keeps_the_counters(
    world: World, attacher: Attacher, pod: TestPod
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run(f"ping -I eth0 -c 1 -W 1 {OUTSIDE}", check=False)
    restarted = world.attacher()
    assert restarted.bring(service(ADDRESS), pod.seen) == Done(())
    with pod.namespace.entered():
        assert nft.counters(lock.TABLE)["dropped_cluster_link"].packets == 1


def test_a_sandbox_that_has_ended_is_not_touched(
    attacher: Attacher, world: World, pod: TestPod
) -> None:
    gone = world.pod()
    world.end(gone)
    outcome = attacher.bring(service(ADDRESS), gone.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "WaitingForSandbox"
    assert "vpn0" not in pod.run("ip -o link")


def test_a_missing_cni_plugin_is_told(
    attacher: Attacher, pod: TestPod, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("CNI_PATH", str(tmp_path))
    outcome = attacher.bring(service(ADDRESS), pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "AttachFailed"
    assert str(tmp_path / "bridge") in outcome.message


def test_the_plugins_own_message_is_told(attacher: Attacher, world: World, pod: TestPod) -> None:
    world.node.run("ip link del br-home; ip link add br-home type veth peer name other")
    outcome = attacher.bring(service(ADDRESS), pod.seen)
    assert outcome == Problem(
        "AttachFailed",
        'CNI plugin bridge: failed to create bridge "br-home": "br-home" already exists but is not'
        " a bridge",
    )
