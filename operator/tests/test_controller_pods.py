"""An app's pod over several passes: restarted, suspended, refused, and the data that it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import kube_server
import pytest
from controller_world import GATEWAY, NAMESPACE, World, running
from test_controller_passes import changes_after_another_pass

from piavpn import kube
from piavpn.controller import refusals


@pytest.fixture
def app(tmp_path: Path) -> Iterator[World]:
    """An app `web` that runs behind a tunnel `home`."""
    with running(tmp_path) as world:
        world.make_tunnel()
        world.make_app()
        yield world


@pytest.mark.parametrize(
    ("name", "namespace", "left"),
    [("web", "media", {f"{GATEWAY}-0"}), (GATEWAY, NAMESPACE, {"web-0"})],
)
def test_a_pod_is_replaced_once_by_kubectl_rollout_restart(
    app: World, name: str, namespace: str, left: set[str]
) -> None:
    made = app.api.get(kube.STATEFUL_SETS, name, namespace)
    asked = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T12:00:00Z"}
    made["spec"]["template"]["metadata"]["annotations"] |= asked
    app.api.put(kube.STATEFUL_SETS, name, namespace, spec=made["spec"])
    app.pass_over("home")
    assert app.names_of(kube.PODS) == left
    app.run_pod(name, namespace)
    app.pass_over("home")
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0", "web-0"}
    assert changes_after_another_pass(app) == []


def test_an_app_that_is_suspended_keeps_its_address_and_is_asked_for_no_pod(app: World) -> None:
    app.service(suspend=True)
    app.pass_over("home")
    assert app.api.get(kube.STATEFUL_SETS, "web", "media")["spec"]["replicas"] == 0
    assert app.names_of(kube.PODS) == {f"{GATEWAY}-0", "web-0"}, "the StatefulSet ends it"
    app.api.remove(kube.PODS, "web-0", "media")
    app.service("other")
    app.pass_over("home")
    assert app.service_condition("Accepted") == ("True", "Accepted")
    assert app.service_condition("Ready") == ("False", "Suspended")
    addresses = {
        item["metadata"]["name"]: item["status"]["address"]
        for item in app.api.all(kube.VPN_SERVICE_CONTAINERS)
    }
    assert addresses == {"web": "10.100.0.10", "other": "10.100.0.11"}
    assert "web" in app.names_of(kube.SERVICES)
    app.service(suspend=False)
    app.pass_over("home")
    assert app.api.get(kube.STATEFUL_SETS, "web", "media")["spec"]["replicas"] == 1


# What an app has written


def test_a_claim_is_made_once_and_stays_when_the_app_goes(app: World) -> None:
    app.service(mounts=[{"path": "/config", "size": "2Gi"}])
    app.pass_over("home")
    claim = app.api.get(kube.PERSISTENT_VOLUME_CLAIMS, "web.config", "media")
    assert claim["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    assert "ownerReferences" not in claim["metadata"], "it would go with its owner"
    app.run_pod("web", "media")
    app.pass_over("home")
    assert changes_after_another_pass(app) == []
    app.api.remove(kube.VPN_SERVICE_CONTAINERS, "web", "media")
    app.pass_over("home")
    assert app.names_of(kube.PERSISTENT_VOLUME_CLAIMS) == {"web.config"}


# What the API server does not take


def ready_message(world: World) -> str:
    status = world.api.get(kube.VPN_SERVICE_CONTAINERS, "web", "media")["status"]
    (found,) = (c["message"] for c in status["conditions"] if c["type"] == "Ready")
    return str(found)


def test_an_object_that_is_refused_is_told_until_it_is_taken(app: World) -> None:
    app.api.put(kube.STATEFUL_SETS, "web", "media", metadata={"annotations": {"touched": "yes"}})
    app.api.fault = lambda call: (
        kube_server.RefusalError(500, ".spec.template.spec.colour: field not declared in schema")
        if (call.verb, call.resource) == ("patch", "statefulsets") and call.name == "web"
        else None
    )
    app.pass_over("home", "home")
    assert app.service_condition("Ready") == ("False", "Refused")
    assert "spec.colour: field not declared" in ready_message(app)
    app.api.fault = lambda _call: None
    app.pass_over("home", "home")
    assert app.service_condition("Ready") == ("True", "Ready")


def test_a_pod_that_is_refused_is_told_in_the_words_of_who_refused_it(app: World) -> None:
    app.api.remove(kube.PODS, "web-0", "media")
    made = app.api.get(kube.STATEFUL_SETS, "web", "media")
    told(app, "FailedCreate", "create Pod web-0 failed: exceeded quota", made, "12:00:00")
    told(app, "FailedCreate", "of another", {"metadata": {"uid": "other"}}, "12:00:09")
    app.pass_over("home")
    assert app.service_condition("Ready") == ("False", "Refused")
    assert ready_message(app) == "create Pod web-0 failed: exceeded quota"
    told(app, "SuccessfulCreate", "create Pod web-0 successful", made, "12:00:05")
    app.pass_over("home")
    assert app.service_condition("Ready") == ("False", "PodNotReady")


def test_a_pod_that_does_not_start_says_why_in_the_words_of_the_kubelet(app: World) -> None:
    made = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    app.api.put(kube.PODS, "web-0", "media", metadata=made, status={"phase": "Pending"})
    pod = app.api.get(kube.PODS, "web-0", "media")
    told(app, "Scheduled", "assigned to n1", pod, "12:00:09", type_="Normal")
    told(app, "FailedMount", "secret is gone", pod, "12:00:01", type_="Warning")
    told(app, "FailedMount", 'configmap "settings" not found', pod, "12:00:02", type_="Warning")
    app.pass_over("home")
    assert app.service_condition("Ready") == ("False", "PodNotReady")
    assert ready_message(app) == 'the pod waits: configmap "settings" not found'


def test_nobody_is_asked_about_a_pod_that_was_only_just_made() -> None:
    now = datetime.fromisoformat("2026-11-23T12:00:30Z")

    def pod(made: str, phase: str) -> dict[str, Any]:
        return {"metadata": {"creationTimestamp": made}, "status": {"phase": phase}}

    assert refusals.waits(pod("2026-11-23T12:00:19Z", "Pending"), now)
    assert not refusals.waits(pod("2026-11-23T12:00:21Z", "Pending"), now)
    assert not refusals.waits(pod("2026-11-23T12:00:19Z", "Running"), now)


def told(  # noqa: PLR0913, PLR0917 - an Event has these parts
    world: World,
    reason: str,
    message: str,
    about: dict[str, Any],
    time: str,
    type_: str = "Warning",
) -> None:
    """Do what the controller of StatefulSets, or the kubelet, does."""
    world.api.put(
        kube.EVENTS,
        f"web.{time}",
        "media",
        involvedObject={"kind": "StatefulSet", "name": "web", "uid": about["metadata"]["uid"]},
        type=type_,
        reason=reason,
        message=message,
        lastTimestamp=f"2026-11-23T{time}Z",
    )


def test_a_mount_that_opens_the_node_is_refused(app: World) -> None:
    socket = {"path": "/var/run/docker.sock"}
    app.service(mounts=[{"path": "/docker.sock", "hostPath": socket}])
    app.pass_over("home")
    assert app.service_condition("Accepted") == ("False", "MountNotAllowed")
    assert "hostPath /var/run/docker.sock opens the whole node" in ready_message(app)


def test_a_template_that_breaks_the_promise_is_refused_and_the_pod_left_alone(app: World) -> None:
    app.service(image="busybox:2", template={"spec": {"hostNetwork": True}})
    app.pass_over("home")
    assert app.service_condition("Accepted") == ("False", "TemplateNotAllowed")
    assert "spec.template.spec.hostNetwork" in ready_message(app)
    assert "web-0" in app.names_of(kube.PODS)
    assert app.api.get(kube.VPN_SERVICE_CONTAINERS, "web", "media")["status"]["address"]
