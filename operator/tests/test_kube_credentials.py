"""What the API server is shown by its clients, and when they read it anew."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import kube_request_server
import pytest
from kube_request_server import Server
from kubernetes import client
from kubernetes.config import kube_config

from piavpn import kube
from piavpn.kube import kinds


@pytest.fixture
def server() -> Iterator[Server]:
    with kube_request_server.serving() as server:
        yield server


def test_a_token_that_cannot_be_read_now_is_an_error_as_any_other(
    server: Server, tmp_path: pathlib.Path
) -> None:
    settings = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
    settings.api_key = {"BearerToken": "bearer old"}
    settings.refresh_api_key_hook = lambda _: (tmp_path / "token").read_text()
    with pytest.raises(kube.KubeError, match="No such file"):
        kube.Cluster(client.ApiClient(settings)).get(kube.PODS, "a", "n")
    assert server.requests == []


@pytest.fixture
def token_file(
    server: Server, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """The file that a cluster's credentials are read from; it holds the token `first`."""
    token = tmp_path / "token"
    token.write_text("first")
    settings = {
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
        ],
        "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(settings))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return token


def test_a_token_that_is_accepted_no_more_is_read_anew_and_the_request_made_again(
    server: Server, token_file: pathlib.Path
) -> None:
    server.token = "first"
    cluster = kube.Cluster.connect()
    assert cluster.get(kube.PODS, "a", "n") == {"metadata": {"name": "answered"}}
    token_file.write_text("second")
    server.token = "second"
    assert cluster.get(kube.PODS, "a", "n") == {"metadata": {"name": "answered"}}
    assert cluster.get(kube.PODS, "a", "n") == {"metadata": {"name": "answered"}}
    assert len(server.requests) == 1 + 2 + 1


def test_so_it_is_before_a_watch(server: Server, token_file: pathlib.Path) -> None:
    server.token = "first"
    server.content += b"\n"
    cluster = kube.Cluster.connect()
    token_file.write_text("second")
    server.token = "second"
    (line,) = cluster.stream(kinds.Selection(kube.PODS, "n"), "7")
    assert line == {"metadata": {"name": "answered"}}


def test_a_token_that_is_refused_once_more_is_an_error(
    server: Server, token_file: pathlib.Path
) -> None:
    token_file.write_text("wrong")
    server.token = "right"
    with pytest.raises(kube.KubeError) as caught:
        kube.Cluster.connect().get(kube.PODS, "a", "n")
    assert caught.value.status == 401
    assert len(server.requests) == 2


def test_without_service_account_and_kubeconfig_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(kube.KubeError, match="no way to the Kubernetes API"):
        kube.Cluster.connect()
