from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterator

import kube_server
import namespaces
import nodeworld
import pytest
from node_agent import Agent, as_text
from nodeworld import GATEWAY, NETWORK, OUTSIDE, World

from piavpn import kube
from piavpn.node import bridge
from piavpn.node.alarms import Alarms
from piavpn.node.attach import Done
from piavpn.node.cutoffs import CutOffs
from piavpn.node.leaktests import LeakTests
from piavpn.node.metrics import Metrics
from piavpn.node.model import Owner, Pod, Role
from piavpn.node.pods import Member
from piavpn.timings import Timings

APP = 'namespace="media",service="app"'
# Nothing that the watch looks for.
OPEN_A_WAY_OUT = (
    "ip link add net1 type bridge; ip link set net1 up;"
    " echo 0 >/proc/sys/net/ipv6/conf/net1/disable_ipv6; ip -6 route add 2001:db8::1 dev net1"
)


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as made:
        yield made


def drops(metrics: dict[str, float]) -> dict[str, float]:
    """Return what is not zero of the drops of apps and of the node."""
    names = ("piavpn_dropped_packets_total", "piavpn_node_dropped_packets_total")
    return {key: value for key, value in metrics.items() if key.startswith(names) and value}


def test_a_node_without_pods_has_none(agent: Agent) -> None:
    agent.make_pass()
    assert agent.metrics() == {
        'piavpn_confined_pods{role="service"}': 0,
        'piavpn_confined_pods{role="gateway"}': 0,
    }


def test_what_an_app_tries_is_counted_and_what_the_leak_test_tries_is_not(agent: Agent) -> None:
    pod = agent.attach()
    agent.test_for_leaks()
    agent.make_pass()
    tested = agent.metrics()
    assert tested['piavpn_confined_pods{role="service"}'] == 1
    assert tested[f"piavpn_pod_confined{{{APP}}}"] == 1
    assert tested[f"piavpn_leak_test_passed{{{APP}}}"] == 1
    assert tested[f"piavpn_leak_test_leaks{{{APP}}}"] == 0
    assert tested[f'piavpn_leak_test_runs_total{{{APP},result="passed"}}'] == 1
    assert tested[f"piavpn_leak_test_raw_frames_dropped{{{APP}}}"] == 1
    assert tested[f"piavpn_leak_test_timestamp_seconds{{{APP}}}"] > 0
    assert tested[f'piavpn_probe_packets_total{{{APP},reason="dns"}}'] > 0
    assert drops(tested) == {}
    pod.run(f"ping -I eth0 -c 2 -i 0.2 -W 1 {OUTSIDE}", check=False)
    assert drops(agent.metrics()) == {
        f'piavpn_dropped_packets_total{{{APP},reason="cluster_link"}}': 2
    }
    dropped = f'piavpn_dropped_bytes_total{{{APP},reason="cluster_link"}}'
    assert agent.metrics()[dropped] == 2 * 84


def test_what_an_app_sends_and_receives_by_the_bridge_is_counted(agent: Agent) -> None:
    agent.attach()
    sent = f"piavpn_service_transmit_bytes_total{{{APP}}}"
    received = f"piavpn_service_receive_bytes_total{{{APP}}}"
    before = agent.metrics()
    agent.world.node.run("ping -c 2 -i 0.2 -s 1000 -W 1 10.100.0.10")
    after = agent.metrics()
    assert after[sent] - before[sent] >= 2 * 1042
    assert after[received] - before[received] >= 2 * 1042


def test_how_long_a_pod_waited_to_be_attached_is_counted_once(agent: Agent) -> None:
    agent.attach()
    agent.make_pass()
    told = agent.metrics()
    count = 'piavpn_attach_duration_seconds_count{role="service"}'
    taken = 'piavpn_attach_duration_seconds_sum{role="service"}'
    assert told[count] == 1
    assert 0 < told[taken] < 60


def test_what_the_node_drops_is_counted_by_filter(agent: Agent) -> None:
    agent.attach()
    agent.world.node.run("ip link set br-home up")
    agent.world.node.run(f"ping -c 1 -W 1 -I br-home {OUTSIDE}", check=False)
    assert {key for key in agent.metrics() if "node_dropped_packets" in key} == {
        f'piavpn_node_dropped_packets_total{{filter="{where}",reason="{reason}"}}'
        for where, reasons in {
            "bridge": ("spoofed", "protocol", "host"),
            "host": ("input", "forward"),
            "cluster_link": (
                *("ipv6", "protocol", "source", "dns"),
                *("outside", "untranslated", "translated_dns"),
            ),
        }.items()
        for reason in reasons
    }


def test_a_pod_that_is_gone_leaves_no_series(agent: Agent, api: kube_server.Api) -> None:
    pod = agent.attach()
    agent.test_for_leaks()
    assert any(APP in key for key in agent.metrics())
    pod.run("ip link del vpn0; ip link del eth0")
    api.remove(kube.PODS, "app-0", "media")
    agent.make_pass()
    assert not any(APP in key for key in agent.metrics())


def test_a_pod_that_is_not_attached_is_told_so_and_has_no_counters(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.make_pass()
    assert {key: value for key, value in agent.metrics().items() if APP in key} == {
        f"piavpn_pod_confined{{{APP}}}": 0,
        f'piavpn_pods_cut_off_total{{{APP},reason="leaked"}}': 0,
        f'piavpn_pods_cut_off_total{{{APP},reason="tampered"}}': 0,
    }


@pytest.mark.parametrize(
    ("damage", "why"),
    [("nft delete table inet piavpn_lock", "tampered"), (OPEN_A_WAY_OUT, "leaked")],
)
def test_a_pod_that_was_cut_off_is_counted_once_and_remembered_when_it_was_replaced(
    agent: Agent, damage: str, why: str
) -> None:
    pod = agent.attach()
    pod.run(damage)
    if why == "leaked":
        agent.test_for_leaks()
    agent.comes_to(agent.is_tampered_with, what="the agent notices")
    expected = {"leaked": 0, "tampered": 0, why: 1}
    assert cut_off(agent) == expected
    agent.world.end(pod)
    agent.make_pass()
    assert cut_off(agent) == {}
    agent.schedule(agent.world.pod())
    agent.make_pass()
    assert cut_off(agent) == expected


def cut_off(agent: Agent) -> dict[str, float]:
    """Return the app's pods that were cut off, by reason."""
    name = "piavpn_pods_cut_off_total"
    return {
        key.rpartition('reason="')[2].removesuffix('"}'): value
        for key, value in agent.metrics().items()
        if key.startswith(name)
    }


def test_two_pods_of_one_app_are_one_series(agent: Agent, api: kube_server.Api) -> None:
    agent.attach()
    first = api.get(kube.PODS, "app-0", "media")
    younger = {"name": "app-1", "uid": "another", "creationTimestamp": "2126-11-23T11:00:00Z"}
    metadata = first["metadata"] | younger
    api.put(kube.PODS, "app-1", "media", metadata=metadata, spec=first["spec"])
    agent.make_pass()
    assert agent.metrics()[f"piavpn_pod_confined{{{APP}}}"] == 1


def test_a_gateways_links_and_drops_are_counted(world: World) -> None:
    namespaces.cni_plugins()
    pod = world.pod()
    nodeworld.add_tunnels(pod)
    told = Pod(
        pod.seen.uid, "gateway-0", "piavpn-system", Role.GATEWAY, "home", Owner("home"), None
    )
    member = Member(told, pod.seen, attached=True)
    bell = threading.Event()
    with world.node.entered(), contextlib.closing(Alarms(bell)) as alarms:
        bridge.ensure(NETWORK, None)
        assert isinstance(world.attacher().bring(GATEWAY, pod.seen), Done)
        pod.run(f"ping -I eth0 -c 1 -W 1 {OUTSIDE}", check=False)
        tests, attaching = LeakTests(alarms, bell), Timings((1.0,))
        found = as_text(Metrics(lambda: [member], tests, CutOffs(), attaching))
    assert found['piavpn_gateway_confined{vpn="home"}'] == 1
    assert found['piavpn_gateway_dropped_packets_total{vpn="home",reason="cluster_link"}'] == 1
    assert 'piavpn_tunnel_receive_bytes_total{vpn="home",link="piaw0"}' in found
    assert 'piavpn_tunnel_transmit_bytes_total{vpn="home",link="piaw1"}' in found
