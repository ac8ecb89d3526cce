"""Pods that break the promise: cut off, told of, and left to whoever made them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import cgroups
import kube_server
import namespaces
import pod_specs
import pytest
from node_agent import Agent
from nodeworld import TestPod, World

from piavpn import kube

NOT_ALLOWED = ("False", "PodNotAllowed")


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(world: World, api: kube_server.Api, tmp_path: pathlib.Path) -> Iterator[Agent]:
    namespaces.cni_plugins()
    with contextlib.closing(Agent(world, api, tmp_path, removal_seconds=0)) as made:
        yield made


def answers(agent: Agent, pod: TestPod) -> bool:
    """Tell whether the pod answers its node by the cluster's network."""
    ping = f"ping -c 1 -W 1 {pod.cluster_address}"
    return "1 received" in agent.world.node.run(ping, check=False)


def test_a_pod_that_may_undo_its_lock_is_cut_off_for_good_and_not_deleted(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.attach()
    assert answers(agent, pod)
    debugger = {"name": "debugger", "securityContext": {"privileged": True}}
    spec = pod_specs.confined(nodeName="n1", ephemeralContainers=[debugger])
    api.put(kube.PODS, "app-0", "media", spec=spec)
    agent.make_pass()
    assert agent.confined() == NOT_ALLOWED
    assert not answers(agent, pod)
    agent.restart()
    agent.make_pass()
    assert agent.confined() == NOT_ALLOWED
    assert not answers(agent, pod)
    assert "piavpn_lock" in pod.run("nft list tables")
    assert [call for call in api.changes if call.verb == "delete"] == []


def test_a_pod_that_was_never_allowed_is_cut_off_and_not_attached(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.world.pod()
    agent.schedule(pod)
    api.put(kube.PODS, "app-0", "media", spec=pod_specs.confined(initContainers=[]))
    agent.run_in_pod(pod, pod.seen.uid)
    assert answers(agent, pod)
    agent.make_pass()
    assert agent.confined() == NOT_ALLOWED
    assert not answers(agent, pod)
    assert "vpn0" not in pod.run("ip -o link")


def test_a_pod_that_is_cut_off_before_its_network_is_there_is_cut_off_when_it_comes(
    agent: Agent, api: kube_server.Api
) -> None:
    pod = agent.world.pod(cluster_network=False)
    agent.schedule(pod)
    api.put(kube.PODS, "app-0", "media", spec=pod_specs.confined(initContainers=[]))
    agent.run_in_pod(pod, pod.seen.uid)
    agent.make_pass()
    agent.world.join_cluster(pod)
    agent.comes_to(lambda: not answers(agent, pod), what="the pod is cut off")


def test_the_nodes_own_namespace_is_not_touched_for_a_pod_that_shares_it(
    agent: Agent, api: kube_server.Api
) -> None:
    shown = "ip -br link show type veth; ip rule; nft list tables"
    pod = agent.world.pod()
    agent.schedule(pod)
    api.put(kube.PODS, "app-0", "media", spec=pod_specs.confined(hostNetwork=True))
    with agent.world.node.process("sleep", "1000") as process, contextlib.ExitStack() as stack:
        made = cgroups.enter(process.pid, f"kubepods/pod{pod.seen.uid}/{process.pid}")
        stack.callback(cgroups.remove, made)
        stack.callback(process.wait)
        stack.callback(process.kill)
        agent.make_pass()
        before = agent.world.node.run(shown)
        agent.make_pass()
        assert agent.confined() == NOT_ALLOWED
        assert agent.world.node.run(shown) == before
