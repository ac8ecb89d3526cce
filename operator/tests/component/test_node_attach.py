from __future__ import annotations

import pathlib
from collections.abc import Iterator

import namespaces
import pytest
from nodeworld import NETWORK, OUTSIDE, TestPod, World, service

from piavpn.net import nft
from piavpn.node import bridge, lock
from piavpn.node.attach import Attacher, Done
from piavpn.node.canonical import Canonical
from piavpn.node.decide import Problem, Step
from piavpn.node.links import Links

ADDRESS = "10.100.0.10"


@pytest.fixture
def attacher(world: World) -> Iterator[Attacher]:
    """An attacher; the test's thread is in the node's namespace, as the agent is."""
    namespaces.cni_plugins()
    with world.node.entered():
        bridge.ensure(NETWORK, None)
        yield Attacher(Canonical(), Links(pathlib.Path("/nonexistent")))


@pytest.fixture
def pod(world: World) -> TestPod:
    return world.pod()


def test_a_pod_is_locked_before_it_is_attached_and_read_back(
    attacher: Attacher, pod: TestPod
) -> None:
    assert attacher.bring(service(ADDRESS), pod.seen) == Done(
        (Step.LOCK, Step.SYSCTLS, Step.ATTACH, Step.ROUTES)
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


def test_a_pod_without_cluster_network_is_left_alone_for_now(
    attacher: Attacher, world: World
) -> None:
    early = world.pod(cluster_network=False)
    outcome = attacher.bring(service(ADDRESS), early.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "WaitingForClusterNetwork"
    world.join_cluster(early)
    assert isinstance(attacher.bring(service(ADDRESS), early.seen), Done)


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("nft delete chain inet piavpn_lock forward", (Step.LOCK,)),
        ("nft delete table inet piavpn_lock", (Step.LOCK,)),
        ("ip route add default via 169.254.1.1 dev eth0 metric 5", (Step.ROUTES,)),
        ("ip route add 198.51.100.0/24 via 169.254.1.1 dev eth0", (Step.ROUTES,)),
        ("ip route del default", (Step.ROUTES,)),
        ("ip rule del pref 50", (Step.ROUTES,)),
        ("sysctl -qw net.ipv4.conf.eth0.rp_filter=1", (Step.SYSCTLS,)),
        ("ip addr add 10.100.0.99/24 dev vpn0", (Step.DETACH, Step.ATTACH, Step.ROUTES)),
        ("ip link del vpn0", (Step.ATTACH, Step.ROUTES)),
    ],
)
def test_what_was_changed_is_repaired_and_nothing_else_is_touched(
    attacher: Attacher, pod: TestPod, damage: str, repair: tuple[Step, ...]
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run(damage)
    outcome = attacher.bring(service(ADDRESS), pod.seen)
    assert isinstance(outcome, Done)
    assert outcome.steps == repair
    assert attacher.bring(service(ADDRESS), pod.seen) == Done(())


def test_another_agent_finds_all_in_order_and_keeps_the_counters(
    attacher: Attacher, pod: TestPod
) -> None:
    attacher.bring(service(ADDRESS), pod.seen)
    pod.run(f"ping -I eth0 -c 1 -W 1 {OUTSIDE}", check=False)
    restarted = Attacher(Canonical(), Links(pathlib.Path("/nonexistent")))
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
