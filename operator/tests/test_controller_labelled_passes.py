"""Whole passes over labelled pods, with the rights of the operator's manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kube_server
import pytest
from controller_world import World, running

from piavpn import kube

ACCEPTED = "piavpn.dev/Accepted"


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.make_tunnel()
        yield world


def make(world: World, name: str, **status: Any) -> None:
    """Do what a ReplicaSet's controller does."""
    labels = {"piavpn.dev/vpn": "home", "app": "crawler"}
    world.api.put(
        kube.PODS, name, "media", metadata={"labels": labels}, spec={"nodeName": "n1"},
        status={"phase": "Pending"} | status,
    )  # fmt: skip


def addresses(world: World) -> dict[str, str]:
    pods = (pod["metadata"] for pod in world.api.all(kube.PODS) if pod["metadata"].get("labels"))
    return {
        pod["name"]: (pod.get("annotations") or {}).get("piavpn.dev/address", "")
        for pod in pods
        if "app" in pod["labels"]
    }


def test_pods_get_addresses_conditions_and_one_network_policy(tunnel: World) -> None:
    for name in ("a", "b"):
        make(tunnel, name)
    tunnel.pass_over("home")
    assert addresses(tunnel) == {"a": "10.100.0.10", "b": "10.100.0.11"}
    assert tunnel.condition(kube.PODS, "a", ACCEPTED, "media") == ("True", "Accepted")
    policy = tunnel.api.get(kube.NETWORK_POLICIES, "piavpn.home", "media")
    assert policy["spec"]["podSelector"] == {
        "matchLabels": {"piavpn.dev/vpn": "home"},
        "matchExpressions": [{"key": "piavpn.dev/service", "operator": "DoesNotExist"}],
    }
    tunnel.pass_over("home")
    status = tunnel.api.get(kube.PIA_VPNS, "home")["status"]
    assert status["services"] == 2
    assert status["labelledPods"] == {
        "gateImage": "piavpn:0.1.0",
        "clusterDomain": "cluster.local",
    }


def test_another_pass_changes_nothing(tunnel: World) -> None:
    make(tunnel, "a")
    tunnel.pass_over("home")
    tunnel.pass_over("home")
    before = len(tunnel.api.changes)
    tunnel.pass_over("home")
    assert tunnel.api.changes[before:] == []


def test_a_pod_that_has_ended_frees_its_address_and_the_last_takes_the_policy_along(
    tunnel: World,
) -> None:
    make(tunnel, "a")
    tunnel.pass_over("home")
    make(tunnel, "a", phase="Succeeded")
    make(tunnel, "b")
    tunnel.pass_over("home")
    assert addresses(tunnel) == {"a": "10.100.0.10", "b": "10.100.0.10"}

    tunnel.api.remove(kube.PODS, "b", "media")
    tunnel.pass_over("home")
    assert tunnel.api.all(kube.NETWORK_POLICIES) == []
    assert tunnel.api.get(kube.PIA_VPNS, "home")["status"]["services"] == 0


def test_a_refused_pod_is_told_by_a_condition_and_an_event(tunnel: World) -> None:
    make(tunnel, "lost")
    annotations = {"piavpn.dev/receive-forwarded-port": "all"}
    tunnel.api.put(kube.PODS, "lost", "media", metadata={"annotations": annotations})
    tunnel.pass_over("home")
    assert tunnel.condition(kube.PODS, "lost", ACCEPTED, "media") == ("False", "Invalid")
    (event,) = (
        one for one in tunnel.api.all(kube.EVENTS) if one["involvedObject"]["kind"] == "Pod"
    )
    assert (event["reason"], event["involvedObject"]["name"]) == ("Invalid", "lost")
    assert addresses(tunnel) == {"lost": ""}


def test_a_pod_that_the_api_server_refuses_holds_up_no_other(tunnel: World) -> None:
    for name in ("a", "b"):
        make(tunnel, name)
    tunnel.api.fault = lambda call: (
        kube_server.RefusalError(403, "no")
        if (call.resource, call.name) == ("pods", "a") and call.verb == "patch"
        else None
    )
    tunnel.pass_over("home")
    assert addresses(tunnel) == {"a": "", "b": "10.100.0.11"}


def test_a_namespace_that_takes_no_policy_holds_up_no_other(tunnel: World) -> None:
    make(tunnel, "a")
    tunnel.api.put(
        kube.PODS, "b", "web", metadata={"labels": {"piavpn.dev/vpn": "home", "app": "crawler"}},
        spec={"nodeName": "n1"}, status={"phase": "Pending"},
    )  # fmt: skip
    tunnel.api.fault = lambda call: (
        kube_server.RefusalError(403, "it is being terminated")
        if (call.resource, call.namespace) == ("networkpolicies", "media")
        else None
    )
    tunnel.pass_over("home")
    assert tunnel.api.get(kube.NETWORK_POLICIES, "piavpn.home", "web")["spec"]


def test_a_pod_with_an_empty_service_label_gets_no_address(tunnel: World) -> None:
    """It is past the rules on labelled pods, and no VpnServiceContainer vouches for it."""
    make(tunnel, "a")
    make(tunnel, "empty")
    tunnel.api.put(
        kube.PODS, "empty", "media",
        metadata={"labels": {"piavpn.dev/vpn": "home", "piavpn.dev/service": "", "app": "crawler"}},
    )  # fmt: skip
    tunnel.pass_over("home")
    assert addresses(tunnel) == {"a": "10.100.0.10", "empty": ""}
