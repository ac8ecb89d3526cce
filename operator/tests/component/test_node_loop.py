from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import kube_server
import namespaces
import nodeworld
import pytest
from node_agent import NETWORK, Agent
from nodeworld import World

from piavpn import kube
from piavpn.api.conditions import PodCondition
from piavpn.node import brake, pods
from piavpn.node.canonical import Canonical
from piavpn.node.host import REMOVAL_SECONDS, Host
from piavpn.node.links import Links
from piavpn.node.outlet import Inside
from piavpn.node.outlets import Outlets
from piavpn.node.plans import NodePlan


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as made:
        yield made


@pytest.fixture
def patient_agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    """An agent that keeps a bridge without pods for a while, as it does outside of tests."""
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, REMOVAL_SECONDS)) as made:
        yield made


def test_a_pod_is_attached_as_soon_as_it_has_a_sandbox(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.make_pass()
    assert agent.confined() == ("False", "WaitingForSandbox")
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")
    assert "default via 10.100.0.2 dev vpn0" in pod.run("ip route")


def test_a_pod_whose_sandbox_ended_is_not_confined_until_the_next_one_is(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    agent.world.end(pod)
    agent.make_pass()
    assert agent.confined() == ("False", "WaitingForSandbox")
    rebuilt = agent.world.pod()
    agent.run_in_pod(rebuilt, pod.seen.uid)
    pod.run("ip link del vpn0")
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")
    assert "default via 10.100.0.2 dev vpn0" in rebuilt.run("ip route")


def test_a_pod_that_starts_among_many_is_attached_in_a_later_pass_and_the_agent_lives(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.make_pass()
    agent.run_in_pod(pod, pod.seen.uid)
    with monkeypatch.context() as of_others:
        of_others.setattr(pods, "ATTACH_SECONDS", 0.0)
        agent.make_pass()
        assert agent.confined() == ("False", "WaitingForSandbox")
        assert agent.passes == 2
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")


def test_an_agent_that_restarts_among_many_pods_says_that_it_lives_once_it_has_seen_each(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.attach()
    agent.restart()
    with monkeypatch.context() as of_others:
        of_others.setattr(pods, "ATTACH_SECONDS", 0.0)
        agent.make_pass()
        assert agent.passes == 0
        assert agent.confined() == ("True", "Attached")
    agent.make_pass()
    assert agent.passes == 1


def test_among_many_pods_that_start_one_that_is_damaged_is_cut_off_at_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = agent.attach()
    monkeypatch.setattr(pods, "ATTACH_SECONDS", 0.0)
    pod.run("nft delete table inet piavpn_lock")
    agent.comes_to(agent.is_tampered_with, what="the agent notices")


def test_a_pod_without_a_network_for_its_vpn_is_told_so_and_attached_when_there_is_one(
    agent: Agent, api: kube_server.Api
) -> None:
    api.put(kube.PIA_VPNS, "home", status={"network": None})
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("False", "NetworkUnknown")
    api.put(kube.PIA_VPNS, "home", status={"network": NETWORK})
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")


@pytest.mark.parametrize(
    "resource",
    [(kube.PIA_VPNS, "home", None), (kube.VPN_SERVICE_CONTAINERS, "app", "media")],
    ids=["vpn", "service"],
)
def test_a_resource_that_is_deleted_under_a_living_pod_leaves_it_locked(
    agent: Agent, api: kube_server.Api, resource: tuple[kube.Kind, str, str | None]
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    before = pod.run("nft list ruleset; ip route show table all; ip rule")
    api.remove(*resource)
    agent.make_pass()
    agent.make_pass()
    assert pod.run("nft list ruleset; ip route show table all; ip rule") == before
    assert 'iifname "br-home"' in agent.world.node.run("nft list table inet piavpn_host")


def test_a_pod_that_only_says_it_is_the_apps_gets_no_gateways_address(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    annotations = {"piavpn.dev/address": "10.100.0.2"}
    api.put(kube.PODS, "app-0", "media", metadata={"annotations": annotations})
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    assert agent.confined() == ("False", "AddressUnknown")
    assert "vpn0" not in pod.run("ip -o link")
    # The control: with the app's own address it is attached.
    agent.schedule(pod)
    agent.make_pass()
    assert agent.confined() == ("True", "Attached")


def test_when_the_pod_goes_nothing_is_left(agent: Agent, api: kube_server.Api) -> None:
    before = agent.world.node.run("ip addr show type bridge; nft list ruleset")
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    pod.run("ip link del vpn0; ip link del eth0")
    api.remove(kube.PODS, "app-0", "media")
    agent.make_pass()
    agent.make_pass()
    assert agent.world.node.run("ip addr show type bridge; nft list ruleset") == before


def test_an_agent_that_ends_after_the_last_pod_leaves_nothing(
    patient_agent: Agent, api: kube_server.Api
) -> None:
    agent = patient_agent
    before = agent.world.node.run("ip addr show type bridge; nft list ruleset")
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    pod.run("ip link del vpn0; ip link del eth0")
    api.remove(kube.PODS, "app-0", "media")
    agent.make_pass()
    # The control: while the agent goes on, the bridge is kept for the next pod.
    assert "br-home" in agent.world.node.run("ip addr show type bridge")
    agent.end()
    assert agent.world.node.run("ip addr show type bridge; nft list ruleset") == before


def test_an_agent_that_ends_under_a_pod_leaves_all_that_the_pod_needs(agent: Agent) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    shown = "ip rule; ip route show table all; nft --stateless list ruleset"
    before = agent.world.node.run(shown), pod.run(shown)
    agent.end()
    assert (agent.world.node.run(shown), pod.run(shown)) == before


def test_an_agent_that_ends_before_it_knows_the_pods_removes_nothing(
    world: World, api: kube_server.Api, tmp_path: pathlib.Path
) -> None:
    known = Canonical()
    host = Host(known, Links(tmp_path), Outlets(known), tmp_path)
    with world.node.entered():
        host.bring(NodePlan({"home": nodeworld.NETWORK}, {}, {}, Inside((), ())))
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as blind:
        blind.end()
    assert "br-home" in world.node.run("ip addr show type bridge")


def events(api: kube_server.Api) -> list[tuple[str, str, str]]:
    return [
        (event["involvedObject"]["kind"], event["reason"], event["message"])
        for event in api.all(kube.EVENTS)
    ]


def deleted(api: kube_server.Api) -> list[str]:
    return [call.resource for call in api.changes if call.verb == "delete"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("nft delete table inet piavpn_lock", "the lock is gone"),
        (
            "ip route add default via 169.254.1.1 dev eth0 metric 5",
            "a route to 0.0.0.0/0 was added on eth0",
        ),
    ],
)
def test_a_pod_that_is_tampered_with_is_cut_off_at_once_told_of_and_replaced(
    agent: Agent, api: kube_server.Api, damage: str, told: str
) -> None:
    pod = agent.attach()
    agent.make_pass()
    pod.run(damage)
    # No look at the pod is due for seconds: the alarm brings it.
    agent.comes_to(agent.is_tampered_with, what="the agent notices")
    assert "0 received" in agent.world.node.run(
        f"ping -c 1 -W 1 {pod.cluster_address}", check=False
    )
    assert deleted(api) == ["pods"]
    message = f"pod app-0: {told}: the pod is cut off and will be replaced"
    assert events(api) == [("VpnServiceContainer", "Tampered", message)]
    agent.make_pass()
    assert len(events(api)) == 1


def test_where_each_next_pod_is_damaged_too_it_is_cut_off_but_not_deleted_as_soon(
    agent: Agent, api: kube_server.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brake, "FIRST_SECONDS", brake.LONGEST_SECONDS)  # however slow a pass is
    for number in range(brake.AT_ONCE + 1):
        pod = agent.attach()
        pod.run("nft delete table inet piavpn_lock")
        agent.comes_to(agent.is_tampered_with, what="the agent notices")
        assert deleted(api) == ["pods"] * min(number + 1, brake.AT_ONCE)
    assert "0 received" in agent.world.node.run(
        f"ping -c 1 -W 1 {pod.cluster_address}", check=False
    )
    assert [reason for _, reason, _ in events(api)] == ["Tampered"] * (brake.AT_ONCE + 1)


def test_another_pod_of_the_name_is_not_deleted(agent: Agent, api: kube_server.Api) -> None:
    pod = agent.attach()
    pod.run("nft delete table inet piavpn_lock")
    api.fault = lambda call: (
        kube_server.RefusalError(409, "another pod") if call.verb == "delete" else None
    )
    agent.comes_to(agent.is_tampered_with, what="the agent notices")
    agent.make_pass()
    asked = [call for call in api.calls if call.verb == "delete"]
    assert asked
    assert {item["metadata"]["uid"] for item in api.all(kube.PODS)} == {pod.seen.uid}


def test_a_damaged_pod_that_is_being_deleted_already_is_cut_off_without_a_word(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    metadata = {"deletionTimestamp": "2026-11-23T11:00:00Z"}
    api.put(kube.PODS, "app-0", "media", metadata=metadata)
    agent.make_pass()
    pod.run("nft delete table inet piavpn_lock")
    agent.comes_to(agent.is_tampered_with, what="the agent notices")
    assert (deleted(api), events(api)) == ([], [])


def test_a_sandbox_that_is_taken_down_before_it_ends_is_no_damage(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    agent.make_pass()
    pod.run("ip link del eth0")
    agent.comes_to(
        lambda: agent.confined() == ("False", "WaitingForSandbox"), what="the agent notices"
    )
    agent.world.end(pod)
    agent.make_pass()
    assert agent.confined() == ("False", "WaitingForSandbox")
    assert (deleted(api), events(api)) == ([], [])


def test_a_lock_that_the_cluster_has_outgrown_is_replaced_and_the_pod_stays(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    agent.add_node("n2", "10.250.0.0/16")
    agent.make_pass()
    assert "10.250.0.0/16" in pod.run("nft list table inet piavpn_lock")
    assert agent.confined() == ("True", "Attached")
    assert (deleted(api), events(api)) == ([], [])


def test_an_agent_that_starts_repairs_what_it_finds_and_deletes_nothing(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    pod.run("nft delete chain inet piavpn_lock forward; ip route del default")
    agent.restart()
    agent.make_pass()
    assert "chain forward" in pod.run("nft list table inet piavpn_lock")
    assert "default via 10.100.0.2 dev vpn0" in pod.run("ip route")
    assert agent.confined() == ("True", "Attached")
    assert (deleted(api), events(api)) == ([], [])


def test_what_is_no_way_out_is_repaired_and_told(agent: Agent, api: kube_server.Api) -> None:
    pod = agent.attach()
    agent.make_pass()
    pod.run("sysctl -qw net.ipv4.conf.eth0.rp_filter=1; ip addr add 192.0.2.5/32 dev lo")
    agent.comes_to(lambda: bool(events(api)), what="an Event")
    assert agent.confined() == ("True", "Attached")
    message = "pod app-0 was not as it had been set: kernel parameters"
    assert events(api) == [("VpnServiceContainer", "Repaired", message)]
    assert deleted(api) == []


def test_a_pod_from_which_something_gets_out_is_cut_off_told_of_and_replaced(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    assert agent.told(PodCondition.LEAK_FREE) == ("Unknown", "NotTestedYet")
    agent.test_for_leaks()
    agent.make_pass()
    assert agent.told(PodCondition.LEAK_FREE) == ("True", "NothingLeaked")
    # No damage that the watch knows: a link of somebody else's, and IPv6.
    pod.run("ip link add net1 type bridge; ip link set net1 up")
    pod.run("sysctl -qw net.ipv6.conf.net1.disable_ipv6=0; ip -6 route add 2001:db8::1 dev net1")

    def found_out() -> bool:
        agent.test_for_leaks()
        return agent.is_tampered_with()

    agent.comes_to(found_out, what="the leak test finds it")
    assert agent.told(PodCondition.LEAK_FREE) == ("False", "Leaked")
    assert deleted(api) == ["pods"]
    told = "the route to 2001:db8::1 leads out by net1: the pod is cut off and will be replaced"
    assert events(api) == [("VpnServiceContainer", "Tampered", f"pod app-0: {told}")]
    assert "0 received" in agent.world.node.run(
        f"ping -c 1 -W 1 {pod.cluster_address}", check=False
    )


def test_a_leak_test_that_an_apps_user_asks_for_is_answered_in_the_pods_condition(
    agent: Agent, api: kube_server.Api
) -> None:
    agent.attach()
    asked = {"piavpn.dev/leak-test-requested-at": "2026-11-23T12:00:00Z"}
    api.put(kube.PODS, "app-0", "media", metadata={"annotations": asked})

    def answered() -> bool:
        agent.test_for_leaks()
        told = api.get(kube.PODS, "app-0", "media")["status"]["conditions"]
        messages = {item["type"]: item["message"] for item in told}
        return messages["piavpn.dev/LeakFree"].endswith("; asked for at 2026-11-23T12:00:00Z")

    agent.comes_to(answered, what="the answer to the request")
    assert agent.told(PodCondition.LEAK_FREE) == ("True", "NothingLeaked")


def test_what_nobody_foresaw_of_one_pod_is_told_and_logged_once_and_ends_no_pass(
    agent: Agent,
    api: kube_server.Api,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin, calls = tmp_path / "bridge", tmp_path / "calls"
    plugin.write_text(f"#!/bin/sh\necho called >> {calls}; echo '{{}}'\n")
    plugin.chmod(0o755)
    pod = agent.world.pod()
    agent.schedule(pod)
    agent.run_in_pod(pod, pod.seen.uid)
    with monkeypatch.context() as changed:
        changed.setenv("CNI_PATH", str(tmp_path))
        agent.make_pass()
        assert agent.confined() == ("False", "AttachFailed")
        (told,) = (
            condition["message"]
            for condition in api.get(kube.PODS, "app-0", "media")["status"]["conditions"]
            if condition["type"] == PodCondition.CONFINED
        )
        assert told == "unforeseen, see the log of the pod's node agent: KeyError('interfaces')"
        agent.comes_to(lambda: calls.read_text().count("called") > 1, what="another attempt")
    agent.comes_to(lambda: agent.confined() == ("True", "Attached"), what="a good attempt")
    assert len([record for record in caplog.records if record.exc_info]) == 1
