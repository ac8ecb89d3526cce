"""Where gateway and apps run, and what is told when their node is heard of no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_samples import IP, NETWORK, SETTINGS, service, vpn
from controller_world import GATEWAY, NAMESPACE, World, running
from kube_server import RefusalError

from piavpn import kube
from piavpn.api import codec, piavpns, placement, pods
from piavpn.controller import build_gateway, build_service

NAS = {"key": "dedicated", "operator": "Equal", "value": "nas", "effect": "NoSchedule"}
PLACED = {
    "nodeSelector": {"kubernetes.io/hostname": "nas"},
    "tolerations": [NAS],
    "priorityClassName": "system-cluster-critical",
}
SPOT = {"key": "spot", "operator": "Exists"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[World]:
    """A tunnel `home` with an app `web`, both on node n1."""
    with running(tmp_path) as world:
        world.make_tunnel()
        world.make_app()
        yield world


def placed(**fields: Any) -> piavpns.PiaVpn:
    gateway = codec.decode(placement.Gateway, fields)
    return dataclasses.replace(vpn(), spec=dataclasses.replace(vpn().spec, gateway=gateway))


def gateway_spec(wanted: piavpns.PiaVpn) -> dict[str, Any]:
    made = build_gateway.stateful_set(wanted, SETTINGS)
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def app_template(
    *tolerations: dict[str, Any], template: dict[str, Any] | None = None
) -> dict[str, Any]:
    app = service()
    if template is not None:
        spec = dataclasses.replace(app.spec, template=pods.Template(spec=template))
        app = dataclasses.replace(app, spec=spec)
    made = build_service.stateful_set(
        app,
        IP("10.100.0.10"),
        NETWORK,
        SETTINGS,
        tolerations=[codec.decode(placement.Toleration, each) for each in tolerations],
    )
    found: dict[str, Any] = made["spec"]["template"]
    return found


# What is made


def test_a_gateway_is_where_its_user_wants_it() -> None:
    spec = gateway_spec(placed(**PLACED))
    assert {name: spec[name] for name in PLACED} == PLACED


def test_a_gateway_of_which_nothing_is_said_is_made_as_ever() -> None:
    assert gateway_spec(vpn()).keys().isdisjoint(PLACED)
    assert gateway_spec(placed()) == gateway_spec(vpn())


def test_an_app_tolerates_what_its_gateway_does_beside_its_own() -> None:
    assert app_template(NAS)["spec"]["tolerations"] == [NAS]
    assert app_template(NAS, template={"tolerations": [SPOT]})["spec"]["tolerations"] == [SPOT, NAS]
    assert app_template(NAS, template={"tolerations": [NAS]})["spec"]["tolerations"] == [NAS]
    assert "tolerations" not in app_template()["spec"]


def test_another_toleration_of_the_gateway_replaces_no_app_that_runs() -> None:
    def spec_hash(template: dict[str, Any]) -> Any:
        return template["metadata"]["annotations"]["piavpn.dev/spec-hash"]

    assert spec_hash(app_template(NAS)) == spec_hash(app_template())


# What a pass does


def test_a_gateway_moves_when_its_place_changes_and_its_app_stays(app: World) -> None:
    before = app.api.get(kube.PODS, "web-0", "media")["metadata"]["uid"]
    app.vpn(gateway=PLACED)
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {"web-0"}
    app.run_pod(GATEWAY, NAMESPACE)
    app.api.put(kube.PODS, f"{GATEWAY}-0", NAMESPACE, spec={"nodeName": "nas"})
    app.pass_over("home")
    assert app.api.get(kube.PODS, "web-0", "media")["metadata"]["uid"] == before


def test_an_app_that_waits_for_a_node_is_made_anew_when_it_may_go_to_more(app: World) -> None:
    spec = app.api.get(kube.PODS, "web-0", "media")["spec"]
    waiting = {name: value for name, value in spec.items() if name != "nodeName"}
    app.api.put(kube.PODS, "web-0", "media", spec=waiting)
    app.pass_over("home")
    assert "web-0" in app.names_of(kube.PODS)
    app.vpn(gateway={"tolerations": [NAS]})
    app.pass_over("home")
    assert "web-0" not in app.names_of(kube.PODS)


def test_a_gateway_whose_pod_is_refused_says_so(app: World) -> None:
    app.vpn(gateway={"priorityClassName": "none-such"})
    app.pass_over("home")
    stateful_set = app.api.get(kube.STATEFUL_SETS, GATEWAY, NAMESPACE)
    app.api.put(
        kube.EVENTS,
        "refused",
        NAMESPACE,
        involvedObject={"uid": stateful_set["metadata"]["uid"]},
        reason="FailedCreate",
        message="no PriorityClass with name none-such was found",
        lastTimestamp="2026-11-23T12:00:00Z",
    )
    app.pass_over("home")
    assert app.vpn_condition("Ready") == ("False", "GatewayNotRunning")
    assert "refused: no PriorityClass with name none-such" in message(app, kube.PIA_VPNS, "home")


def test_so_does_one_whose_stateful_set_is_refused(app: World) -> None:
    app.api.remove(kube.PODS, f"{GATEWAY}-0", NAMESPACE)
    app.api.fault = lambda call: (
        RefusalError(422, "Invalid value") if (call.name, call.verb) == (GATEWAY, "patch") else None
    )
    app.vpn(gateway=PLACED)
    app.pass_over("home", "home")
    assert app.vpn_condition("Ready") == ("False", "GatewayNotRunning")
    assert "refused: PATCH" in message(app, kube.PIA_VPNS, "home")


# A node that is lost


def lose_contact(world: World) -> None:
    """Do what Kubernetes' node controller does when a kubelet is silent."""
    silent = {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-11-23T12:00:00Z"}
    world.api.put(kube.NODES, "n1", status={"conditions": [silent]})
    for name, namespace in ((f"{GATEWAY}-0", NAMESPACE), ("web-0", "media")):
        ready = {"type": "Ready", "status": "False"}
        world.api.put(kube.PODS, name, namespace, status={"conditions": [ready]})


def message(world: World, kind: kube.Kind, name: str, namespace: str | None = None) -> str:
    conditions = world.api.get(kind, name, namespace)["status"]["conditions"]
    (found,) = (each["message"] for each in conditions if each["type"] == "Ready")
    return str(found)


def test_pods_of_a_silent_node_stay_and_their_owner_is_told_what_to_do(app: World) -> None:
    lose_contact(app)
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0", "web-0"}
    assert app.vpn_condition("Ready") == app.service_condition("Ready") == ("Unknown", "NodeLost")
    told = message(app, kube.PIA_VPNS, "home")
    assert told == message(app, kube.VPN_SERVICE_CONTAINERS, "web", "media")
    assert "n1 was not heard of since 2026-11-23T12:00:00Z" in told
    assert "kubectl delete node n1" in told
    assert "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in told


def test_so_is_the_owner_of_pods_that_kubernetes_has_begun_to_evict(app: World) -> None:
    lose_contact(app)
    deleting = {"deletionTimestamp": "2026-11-23T12:05:00Z"}
    for name, namespace in ((f"{GATEWAY}-0", NAMESPACE), ("web-0", "media")):
        app.api.put(kube.PODS, name, namespace, metadata=deleting)
    app.pass_over("home")
    assert app.vpn_condition("Ready") == app.service_condition("Ready") == ("Unknown", "NodeLost")


def test_pods_of_a_deleted_node_are_told_of_until_they_end(app: World) -> None:
    lose_contact(app)
    app.api.remove(kube.NODES, "n1")
    app.pass_over("home")
    assert app.vpn_condition("Ready") == ("Unknown", "NodeLost")
    assert "node n1 was deleted" in message(app, kube.PIA_VPNS, "home")


def test_a_node_that_is_heard_of_again_is_forgotten(app: World) -> None:
    lose_contact(app)
    app.pass_over("home")
    for name, namespace in ((f"{GATEWAY}-0", NAMESPACE), ("web-0", "media")):
        ready = {"type": "Ready", "status": "True"}
        app.api.put(kube.PODS, name, namespace, status={"conditions": [ready]})
    app.pass_over("home")
    assert app.vpn_condition("Ready") == ("True", "Ready")
    assert app.service_condition("Ready") == ("True", "Ready")


def test_nodes_of_pods_that_are_ready_are_not_asked_for(app: World) -> None:
    before = len(app.api.calls)
    app.pass_over("home")
    asked = [call for call in app.api.calls[before:] if "metadata.name" in call.fields]
    assert asked == []
