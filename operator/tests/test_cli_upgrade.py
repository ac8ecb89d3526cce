"""`kubectl piavpn upgrade`: one pod after the other, apps first, and no further than a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cli_world
import kube_server
import pytest
from cli_world import SYSTEM, Kubectl, Said
from kube_calls import Call

from piavpn import kube

api, kubectl = cli_world.api, cli_world.kubectl

OLD, NEW = "piavpn:0.1.0", "piavpn:0.2.0"
PARTS = {
    ("web", "media"): ("piavpn.dev/vpn", "initContainers", "piavpn-gate"),
    ("torrent", "media"): ("piavpn.dev/vpn", "initContainers", "piavpn-gate"),
    ("piavpn-gateway-home", SYSTEM): ("piavpn.dev/gateway", "containers", "gateway"),
}


def spec(name: str, namespace: str, image: str) -> dict[str, Any]:
    _, containers, container = PARTS[name, namespace]
    return {"containers": [], containers: [{"name": container, "image": image}]}


def put_pod(
    api: kube_server.Api, name: str, namespace: str, image: str, *, ready: bool = True
) -> None:
    key = PARTS[name, namespace][0]
    metadata = {
        "labels": {key: "home", "controller-revision-hash": f"{name}-{image}"},
        "ownerReferences": [{"kind": "StatefulSet", "name": name}],
    }
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"conditions": [condition]}
    pod_spec = spec(name, namespace, image)
    api.put(kube.PODS, f"{name}-0", namespace, metadata=metadata, spec=pod_spec, status=status)


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    """Make a cluster whose operator has just been upgraded."""
    cli_world.put_vpn(api)
    for name, namespace in PARTS:
        put_pod(api, name, namespace, OLD)
        template = {"spec": spec(name, namespace, NEW)}
        status = {"updateRevision": f"{name}-{NEW}"}
        metadata = {"labels": {"app.kubernetes.io/managed-by": "piavpn-operator"}}
        body = {"metadata": metadata, "spec": {"template": template}, "status": status}
        api.put(kube.STATEFUL_SETS, name, namespace, **body)
    cli_world.put_app(api, "web")
    cli_world.put_app(api, "torrent")


def stateful_sets_make_pods(
    api: kube_server.Api, is_ready: Callable[[str], bool] = lambda _name: True
) -> None:
    """Have a new pod made when one is asked for that was deleted, as StatefulSets do."""

    def make(call: Call) -> None:
        if (call.verb, call.resource) == ("get", "pods"):
            there = {pod["metadata"]["name"] for pod in api.all(kube.PODS)}
            assert call.name is not None
            if call.name not in there:
                name = call.name.removesuffix("-0")
                put_pod(api, name, str(call.namespace), NEW, ready=is_ready(name))

    api.fault = make


def deleted(api: kube_server.Api) -> list[str | None]:
    return [call.name for call in api.changes if call.verb == "delete"]


def test_apps_are_moved_one_at_a_time_and_the_gateway_last(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    stateful_sets_make_pods(api)

    said = kubectl.piavpn("upgrade")

    assert said == Said(
        0,
        "media/torrent-0 is ready again after 0 s, with piavpn:0.2.0\n"
        "media/web-0 is ready again after 0 s, with piavpn:0.2.0\n"
        "piavpn-system/piavpn-gateway-home-0 is ready again after 0 s, with piavpn:0.2.0\n",
    )
    assert deleted(api) == ["torrent-0", "web-0", "piavpn-gateway-home-0"]
    again = kubectl.piavpn("upgrade")
    assert again == Said(0, "nothing to do: every pod is of the operator's version\n")


def test_it_stops_at_the_first_pod_that_does_not_come_back(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    stateful_sets_make_pods(api, is_ready=lambda name: name != "web")
    waits = cli_world.condition("Ready", "False", "PodNotReady", "it has no image")
    cli_world.put_app(api, "web", conditions=[waits])

    said = kubectl.piavpn("upgrade", "--timeout", "0.1")

    assert said.code == 1
    assert said.err == (
        "error: media/web-0 is not ready with piavpn:0.2.0 (PodNotReady: it has no image). "
        "1 more were left as they are. See `kubectl describe pod -n media web-0`; "
        "`kubectl piavpn upgrade` goes on once it is, and the operator's older image brings the "
        "older pods back.\n"
    )
    assert deleted(api) == ["torrent-0", "web-0"]


def test_what_would_be_moved_is_told_and_nothing_is_done(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    assert kubectl.piavpn("upgrade", "--vpn", "home", "--dry-run") == Said(
        0,
        "POD                                   VPN    PART      FROM           TO\n"
        "media/torrent-0                       home   app       piavpn:0.1.0   piavpn:0.2.0\n"
        "media/web-0                           home   app       piavpn:0.1.0   piavpn:0.2.0\n"
        "piavpn-system/piavpn-gateway-home-0   home   gateway   piavpn:0.1.0   piavpn:0.2.0\n",
    )
    assert deleted(api) == []


def test_other_vpns_are_left_alone(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_vpn(api, "away")
    said = kubectl.piavpn("upgrade", "--vpn", "away", "-o", "json")
    assert (said.code, json.loads(said.out)) == (0, [])


def test_a_pod_that_ends_already_is_left_to_its_end(api: kube_server.Api, kubectl: Kubectl) -> None:
    ending = {"deletionTimestamp": "2026-11-23T12:00:00Z"}
    for name, namespace in PARTS:
        api.put(kube.PODS, f"{name}-0", namespace, metadata=ending)
    assert "nothing to do" in kubectl.piavpn("upgrade").out


def test_a_pod_of_somebody_s_own_stateful_set_is_theirs_to_restart(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    stateful_sets_make_pods(api)
    own = {"labels": {"app.kubernetes.io/managed-by": "Helm"}}
    api.put(kube.STATEFUL_SETS, "web", "media", metadata=own)
    assert kubectl.piavpn("upgrade").code == 0
    assert deleted(api) == ["torrent-0", "piavpn-gateway-home-0"]
