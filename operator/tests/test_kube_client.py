"""Requests as the API server gets them, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Iterator

import kube_request_server
import pytest
from kube_request_server import Request, Server
from kubernetes import client

from piavpn import kube


@pytest.fixture
def server() -> Iterator[Server]:
    with kube_request_server.serving() as server:
        yield server


@pytest.fixture
def cluster(server: Server) -> kube.Cluster:
    return cluster_at(server.server_address[1])


def cluster_at(port: int) -> kube.Cluster:
    settings = client.Configuration(host=f"http://127.0.0.1:{port}")
    settings.retries = False
    return kube.Cluster(client.ApiClient(settings))


CONFIG_MAP = {"metadata": {"name": "a", "namespace": "n"}, "data": {"key": "value"}}
VPN_STATUS = {"metadata": {"name": "home"}, "status": {"services": 1}}


# Requests


def test_text_is_read_by_the_line_also_the_last_one_without_an_end(
    server: Server, cluster: kube.Cluster
) -> None:
    server.content = b"one\n\ntwo"
    path = "/api/v1/namespaces/n/pods/a/log"
    assert list(cluster.lines(path, {"container": "app"})) == [b"one", b"two"]
    assert server.requests == [Request("GET", path, {"container": "app"})]


def test_text_that_is_refused_is_an_error_as_any_other(
    server: Server, cluster: kube.Cluster
) -> None:
    server.refuse(403)
    with pytest.raises(kube.KubeError, match="what the server says") as caught:
        list(cluster.lines("/api/v1/namespaces/n/pods/a/log", {}))
    assert caught.value.status == 403


def test_an_object_is_asked_for_at_its_path(server: Server, cluster: kube.Cluster) -> None:
    assert cluster.get(kube.STATEFUL_SETS, "a", "n") == {"metadata": {"name": "answered"}}
    cluster.get(kube.PODS, "a", "n")
    cluster.get(kube.PIA_VPNS, "home")
    assert server.requests == [
        Request("GET", "/apis/apps/v1/namespaces/n/statefulsets/a", {}),
        Request("GET", "/api/v1/namespaces/n/pods/a", {}),
        Request("GET", "/apis/piavpn.dev/v1alpha1/piavpns/home", {}),
    ]


def test_a_list_goes_over_one_namespace_or_all_with_its_selectors(
    server: Server, cluster: kube.Cluster
) -> None:
    server.content = b'{"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {}}]}'
    found = cluster.list(kube.PODS, labels="a=b", fields="spec.nodeName=n1")
    cluster.list(kube.PODS, "n")
    assert found == [{"apiVersion": "v1", "kind": "Pod", "metadata": {}}]
    assert server.requests == [
        Request(
            "GET",
            "/api/v1/pods",
            {"labelSelector": "a=b", "fieldSelector": "spec.nodeName=n1"},
        ),
        Request("GET", "/api/v1/namespaces/n/pods", {}),
    ]


def test_an_object_is_applied_by_the_server_with_its_whole_body(
    server: Server, cluster: kube.Cluster
) -> None:
    cluster.apply(kube.CONFIG_MAPS, CONFIG_MAP, manager="piavpn-operator")
    assert server.requests == [
        Request(
            "PATCH",
            "/api/v1/namespaces/n/configmaps/a",
            {"fieldManager": "piavpn-operator", "force": "true"},
            "application/apply-patch+yaml",
            {"apiVersion": "v1", "kind": "ConfigMap", **CONFIG_MAP},
        )
    ]


def test_a_status_is_applied_without_force(server: Server, cluster: kube.Cluster) -> None:
    cluster.apply_status(kube.PIA_VPNS, VPN_STATUS, manager="piavpn-gateway")
    assert server.requests == [
        Request(
            "PATCH",
            "/apis/piavpn.dev/v1alpha1/piavpns/home/status",
            {"fieldManager": "piavpn-gateway", "force": "false"},
            "application/apply-patch+yaml",
            {"apiVersion": "piavpn.dev/v1alpha1", "kind": "PiaVpn", **VPN_STATUS},
        )
    ]


def test_a_patch_is_merged(server: Server, cluster: kube.Cluster) -> None:
    patch = {"metadata": {"annotations": {"a": "b"}}}
    cluster.patch(kube.PODS, "a", "n", patch)
    assert server.requests == [
        Request("PATCH", "/api/v1/namespaces/n/pods/a", {}, "application/merge-patch+json", patch)
    ]


def test_a_deletion_can_be_held_to_one_incarnation(server: Server, cluster: kube.Cluster) -> None:
    cluster.delete(kube.PODS, "a", "n", uid="uid-1")
    cluster.delete(kube.PODS, "a", "n")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    path = "/api/v1/namespaces/n/pods/a"
    held = options | {"preconditions": {"uid": "uid-1"}}
    assert server.requests == [
        Request("DELETE", path, {}, "application/json", held),
        Request("DELETE", path, {}, "application/json", options),
    ]


@pytest.mark.parametrize(("namespace", "posted_to"), [("media", "media"), (None, "default")])
def test_an_event_lies_beside_its_object_or_in_default(
    namespace: str | None, posted_to: str, server: Server, cluster: kube.Cluster
) -> None:
    metadata = {"name": "home", "uid": "uid-1", "namespace": namespace}
    regarding = {"apiVersion": "piavpn.dev/v1alpha1", "kind": "PiaVpn", "metadata": metadata}
    cluster.create_event(
        regarding, type="Warning", reason="Why", message="x" * 2000, component="piavpn-operator"
    )
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"/api/v1/namespaces/{posted_to}/events")
    body = dict(request.body)
    assert body.pop("firstTimestamp") == body.pop("lastTimestamp")
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "home.", "namespace": posted_to},
        "involvedObject": {
            "apiVersion": "piavpn.dev/v1alpha1",
            "kind": "PiaVpn",
            "name": "home",
            "namespace": namespace,
            "uid": "uid-1",
        },
        "type": "Warning",
        "reason": "Why",
        "message": "x" * 1024,
        "source": {"component": "piavpn-operator"},
        "count": 1,
    }


# Answers


def test_an_absent_object_is_none(server: Server, cluster: kube.Cluster) -> None:
    server.refuse(404)
    assert cluster.get(kube.PODS, "a", "n") is None
    assert cluster.patch(kube.PODS, "a", "n", {}) is None
    assert cluster.apply_status(kube.PIA_VPNS, VPN_STATUS, manager="m") is None
    cluster.delete(kube.PODS, "a", "n")


def test_an_absent_kind_is_told_from_other_errors_though_the_answer_is_plain_text(
    server: Server, cluster: kube.Cluster
) -> None:
    server.refuse(404, b"404 page not found\n")
    with pytest.raises(kube.KubeError) as caught:
        cluster.list(kube.SERVICE_CIDRS)
    assert caught.value.absent


@pytest.mark.parametrize(("status", "sort"), [(403, "other"), (409, "conflict"), (422, "other")])
def test_a_refusal_says_what_was_asked_and_what_the_server_said(
    status: int, sort: str, server: Server, cluster: kube.Cluster
) -> None:
    server.refuse(status)
    with pytest.raises(kube.KubeError) as caught:
        cluster.apply(kube.CONFIG_MAPS, CONFIG_MAP, manager="m")
    assert caught.value.status == status
    assert caught.value.conflict is (sort == "conflict")
    assert str(caught.value) == "PATCH /api/v1/namespaces/n/configmaps/a: what the server says"


@pytest.mark.parametrize("content", [b"<html>Bad Gateway</html>", b"", b"[]", b'{"code": 1}'])
def test_a_refusal_by_something_else_keeps_its_status(
    content: bytes, server: Server, cluster: kube.Cluster
) -> None:
    server.refuse(502, content)
    with pytest.raises(kube.KubeError) as caught:
        cluster.get(kube.PODS, "a", "n")
    assert caught.value.status == 502
    assert str(caught.value) == "GET /api/v1/namespaces/n/pods/a: HTTP 502"


@pytest.mark.parametrize("content", [b"<html>Log in here</html>", b"", b"[]", b"\xff"])
def test_an_answer_that_is_none_is_an_error(
    content: bytes, server: Server, cluster: kube.Cluster
) -> None:
    server.content = content
    with pytest.raises(kube.KubeError) as caught:
        cluster.get(kube.PODS, "a", "n")
    assert caught.value.status == 0


def test_an_answer_that_breaks_off_is_an_error(server: Server, cluster: kube.Cluster) -> None:
    server.length = 1000
    with pytest.raises(kube.KubeError) as caught:
        cluster.get(kube.PODS, "a", "n")
    assert caught.value.status == 0


def test_a_refused_connection_is_an_error_without_a_status() -> None:
    with Server() as server:
        port = server.server_address[1]
    with pytest.raises(kube.KubeError, match="Connection refused") as caught:
        cluster_at(port).get(kube.PODS, "a", "n")
    assert caught.value.status == 0
