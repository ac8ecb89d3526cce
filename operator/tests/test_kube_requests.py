"""How requests to the API server are counted, and served."""

from __future__ import annotations

import kube_request_server
import pytest
from kubernetes import client

from piavpn import kube
from piavpn.kube.metrics import with_requests
from piavpn.kube.requests import MADE, NO_ANSWER, Requests

POD = "/api/v1/namespaces/media/pods/app-0"


@pytest.mark.parametrize(
    ("method", "path", "query", "verb", "resource"),
    [
        ("GET", POD, {}, "get", "pods"),
        ("GET", "/api/v1/pods", {"labelSelector": "a"}, "list", "pods"),
        ("GET", "/api/v1/namespaces/media/pods", {"watch": "true"}, "watch", "pods"),
        ("GET", "/api/v1/namespaces", {}, "list", "namespaces"),
        ("GET", "/api/v1/namespaces/media", {}, "get", "namespaces"),
        ("PATCH", f"{POD}/status", {}, "patch", "pods/status"),
        ("PATCH", "/apis/piavpn.dev/v1alpha1/piavpns/home/status", {}, "patch", "piavpns/status"),
        ("DELETE", "/apis/apps/v1/namespaces/media/statefulsets/app", {}, "delete", "statefulsets"),
        ("POST", "/api/v1/namespaces/media/events", {}, "create", "events"),
        ("GET", "/version", {}, "get", "version"),
    ],
)
def test_a_request_is_named_as_rbac_names_it(
    method: str, path: str, query: dict[str, str], verb: str, resource: str
) -> None:
    requests = Requests()
    requests.count(method, path, query, "200")
    requests.count(method, path, query, "200")
    assert requests.read() == {(verb, resource, "200"): 2}


def test_each_request_is_counted_by_what_came_of_it() -> None:
    labels = [("patch", "nodes", "409"), ("list", "nodes", NO_ANSWER)]
    before = [MADE.read().get(each, 0) for each in labels]
    with kube_request_server.serving() as server:
        settings = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        settings.retries = False
        cluster = kube.Cluster(client.ApiClient(settings))
        server.refuse(409)
        with pytest.raises(kube.KubeError):
            cluster.patch(kube.NODES, "n1", None, {})
    cluster = kube.Cluster(client.ApiClient(settings))
    with pytest.raises(kube.KubeError, match="refused"):
        cluster.list(kube.NODES)
    after = [MADE.read().get(each, 0) for each in labels]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


def test_they_are_served_beside_a_programs_own_metrics() -> None:
    MADE.count("GET", POD, {}, "200")
    (family,) = with_requests(list)()
    assert {
        "verb": "get",
        "resource": "pods",
        "code": "200",
    } in [sample.labels for sample in family.samples]
