"""Every example in manifests/examples works as it stands, given an account and the stand-in PIA."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, probes, waiting

EXAMPLES = pathlib.Path(__file__).parents[1] / "manifests/examples"


@pytest.fixture(params=sorted(folder.name for folder in EXAMPLES.iterdir()))
def example(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Apply an example with nothing but `spec.endpoints` added, and delete it."""
    secret = manifests.credentials("pia-credentials")
    patch = [{"op": "add", "path": "/spec/endpoints", "value": manifests.endpoints()}]
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps(
            {
                "resources": [os.path.relpath(EXAMPLES / request.param, tmp_path.resolve())],
                "patches": [{"target": {"kind": "PiaVpn"}, "patch": json.dumps(patch)}],
            }
        )
    )
    kubectl.apply(secret)
    kubectl.run("apply", "-k", str(tmp_path))
    yield tmp_path
    kubectl.run("delete", "-k", str(tmp_path), "--timeout=120s", timeout=150)
    kubectl.delete(secret)


def test_an_example_gets_ready_and_its_apps_leave_by_the_tunnel(example: pathlib.Path) -> None:
    rendered = kubectl.run("create", "-k", str(example), "--dry-run=client", "-o", "json")
    objects = [json.loads(text) for text in _documents(rendered)]
    (vpn,) = (o["metadata"]["name"] for o in objects if o["kind"] == "PiaVpn")
    apps = [o["metadata"] for o in objects if o["kind"] == "VpnServiceContainer"]

    kubectl.wait_for("piavpn", vpn, "Ready")
    for app in apps:
        kubectl.wait_for("vpnapp", app["name"], "Ready", app["namespace"])

    status = (kubectl.get("piavpn", vpn) or {})["status"]
    for app in apps:
        seen = kubectl.execute(
            f"{app['name']}-0", app["namespace"], "app",
            "timeout", "10", "wget", "-qO-", f"http://{probes.WHO_AM_I}/",
        )  # fmt: skip
        assert seen.strip() == status["session"]["serverAddress"]


@pytest.mark.parametrize("example", ["forwarded-port"], indirect=True)
@pytest.mark.usefixtures("example")
def test_the_page_of_the_forwarded_port_is_seen_from_the_internet(pia: client.Client) -> None:
    kubectl.wait_for("vpnapp", "page", "PortPropagated", "public")
    status = (kubectl.get("piavpn", "public") or {})["status"]
    address, port = status["session"]["serverAddress"], status["forwardedPort"]["port"]

    page = pia.connect(address, port, "tcp", "GET / HTTP/1.0\r\n\r\n")

    assert page is not None
    assert "200 OK" in page.splitlines()[0]


@pytest.mark.parametrize("example", ["two-apps"], indirect=True)
@pytest.mark.usefixtures("example")
def test_the_two_apps_talk_to_each_other_by_their_services() -> None:
    kubectl.wait_for("vpnapp", "indexer", "Ready", "downloads")

    def heard() -> str:
        return kubectl.execute(
            "indexer-0", "downloads", "app", "wget", "-qO-", "http://indexer:9696/queue"
        )

    assert waiting.eventually(heard, "the indexer heard of the downloader") == "nothing queued\n"


def _documents(rendered: str) -> Iterator[str]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(rendered):
        _, end = decoder.raw_decode(rendered, position)
        yield rendered[position:end]
        position = end + len(rendered[end:]) - len(rendered[end:].lstrip())
