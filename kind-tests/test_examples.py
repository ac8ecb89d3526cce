"""Every example in manifests/examples works as it stands, given an account and the stand-in PIA."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, labelled, manifests, probes, waiting

FOLDER = pathlib.Path(__file__).parent
EXAMPLES = FOLDER.parent / "manifests/examples"
BUSYBOX = "docker.io/library/busybox:1.37"


LOGIN = "correct horse"


@pytest.fixture(params=sorted(folder.name for folder in EXAMPLES.iterdir()), scope="module")
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pathlib.Path]:
    """Apply an example with nothing but `spec.endpoints` and stand-in images added; delete it."""
    folder = tmp_path_factory.mktemp(request.param)
    source = EXAMPLES / request.param
    before = [manifests.credentials("pia-credentials"), *BEFORE.get(request.param, [])]
    write(folder, source, [])
    patches = [patch_for(body) for body in rendered(folder)]
    write(folder, source, [patch for patch in patches if patch is not None])
    if request.param in BEFORE:
        subprocess.run([FOLDER / "clients/load"], check=True, timeout=600)
    kubectl.apply(*before)
    kubectl.run("apply", "-k", str(folder))
    yield folder
    kubectl.run("delete", "-k", str(folder), "--timeout=120s", timeout=150)
    kubectl.delete(*before)


BEFORE: dict[str, list[kubectl.Object]] = {
    "media-stack": [
        manifests.namespace("media-stack"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "qbittorrent", "namespace": "media-stack"},
            "stringData": {"username": "admin", "password": LOGIN},
        },
    ]
}
"""What an example's head says is to be made before it."""


def write(folder: pathlib.Path, source: pathlib.Path, patches: list[kubectl.Object]) -> None:
    resources = [os.path.relpath(source, folder.resolve())]
    kustomization = json.dumps({"resources": resources, "patches": patches})
    (folder / "kustomization.yaml").write_text(kustomization)


def rendered(folder: pathlib.Path) -> list[kubectl.Object]:
    text = kubectl.run("create", "-k", str(folder), "--dry-run=client", "-o", "json")
    return [json.loads(document) for document in _documents(text)]


def patch_for(body: kubectl.Object) -> kubectl.Object | None:
    """Return what makes an object work beside the stand-in PIA, where no registry is reached."""
    changed: dict[str, object]
    if body["kind"] == "PiaVpn":
        changed = {"/spec/endpoints": manifests.endpoints()}
    elif body["kind"] == "VpnServiceContainer" and body["spec"]["image"] != BUSYBOX:
        stand_in = stand_in_for(body["metadata"]["name"], body["spec"]["ports"][0]["port"])
        changed = {f"/spec/{field}": value for field, value in stand_in.items()}
    elif body["kind"] == "Deployment" and _first_of(body)["image"] != BUSYBOX:
        container = "/spec/template/spec/containers/0"
        port = _first_of(body)["ports"][0]["containerPort"]
        stand_in = stand_in_for(body["metadata"]["name"], port)
        changed = {f"{container}/{field}": value for field, value in stand_in.items()}
    else:
        return None
    operations = [{"op": "add", "path": path, "value": value} for path, value in changed.items()]
    target = {"kind": body["kind"], "name": body["metadata"]["name"]}
    return {"target": target, "patch": json.dumps(operations)}


def _first_of(deployment: kubectl.Object) -> kubectl.Object:
    return dict(deployment["spec"]["template"]["spec"]["containers"][0])


def stand_in_for(name: str, port: int) -> dict[str, object]:
    """Return image and command in place of an app's own: Debian's qBittorrent, or a web server."""
    if name == "qbittorrent":
        return {"image": "piavpn-clients:dev", "command": ["start", name, LOGIN]}
    serve = f"trap 'exit 0' TERM; echo {name} >/tmp/index.html; httpd -f -p {port} -h /tmp & wait"
    return {"image": BUSYBOX, "command": ["sh", "-c", serve]}


def test_an_example_gets_ready_and_its_apps_leave_by_the_tunnel(example: pathlib.Path) -> None:
    objects = rendered(example)
    (vpn,) = (o["metadata"]["name"] for o in objects if o["kind"] == "PiaVpn")
    apps = [o["metadata"] for o in objects if o["kind"] == "VpnServiceContainer"]

    kubectl.wait_for("piavpn", vpn, "Ready")
    for app in apps:
        kubectl.wait_for("vpnapp", app["name"], "Ready", app["namespace"])

    status = (kubectl.get("piavpn", vpn) or {})["status"]
    for app in apps:
        seen = seen_of(f"{app['name']}-0", app["namespace"])
        assert seen == status["session"]["serverAddress"]
    for deployment in filter(is_labelled, objects):
        labelled.wait_for(deployment)
        for pod in labelled.pods_of(deployment):
            seen = seen_of(pod["metadata"]["name"], pod["metadata"]["namespace"])
            assert seen == status["session"]["serverAddress"]


def is_labelled(body: kubectl.Object) -> bool:
    """Tell whether the object's pods go through a VPN by their label."""
    template = body["spec"].get("template", {}) if body["kind"] == "Deployment" else {}
    return "piavpn.dev/vpn" in template.get("metadata", {}).get("labels", {})


def seen_of(pod: str, namespace: str) -> str:
    """Return the address that the Internet sees of an app's pod."""
    page = f"http://{probes.WHO_AM_I}/"
    command = ["timeout", "10", "wget", "-qO-", page]
    if pod == "qbittorrent-0":
        command = [
            "python3",
            "-c",
            f"import urllib.request as r; print(r.urlopen('{page}').read().decode())",
        ]
    return kubectl.execute(pod, namespace, "app", *command).strip()


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


@pytest.mark.parametrize("example", ["media-stack"], indirect=True)
@pytest.mark.usefixtures("example")
def test_the_media_stack_works_together() -> None:
    vpn, room = "media", "media-stack"

    def ran(workload: str, *command: str) -> str:
        return kubectl.execute(workload, room, "app", *command).strip()

    kubectl.wait_for("vpnapp", "qbittorrent", "PortPropagated", room)
    for deployment in ("prowlarr", "jellyfin"):
        kubectl.run("rollout", "status", f"deployment/{deployment}", "-n", room, "--timeout=90s")

    # Sonarr drives the download client, and what it files away is on Jellyfin's shelf.
    assert "<title>qBittorrent" in ran("sonarr-0", "wget", "-qO-", "http://qbittorrent:8080/")
    assert ran("deploy/prowlarr", "wget", "-qO-", "http://sonarr:8989/") == "sonarr"
    ran("sonarr-0", "sh", "-c", "echo an episode > /media/episode")
    assert ran("deploy/jellyfin", "cat", "/media/episode") == "an episode"

    # Prowlarr goes by the tunnel where it asks the proxy, and there alone.
    tunnel = (kubectl.get("piavpn", vpn) or {})["status"]["session"]["serverAddress"]
    ask = ("timeout", "10", "wget", "-qO-", f"http://{probes.WHO_AM_I}/")
    proxy = f"http_proxy=http://piavpn-proxy-{vpn}.{manifests.SYSTEM}:8888"
    assert ran("deploy/prowlarr", "env", proxy, *ask) == tunnel
    assert ran("deploy/prowlarr", *ask) != tunnel
    assert ran("deploy/jellyfin", *ask) != tunnel


def _documents(rendered: str) -> Iterator[str]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(rendered):
        _, end = decoder.raw_decode(rendered, position)
        yield rendered[position:end]
        position = end + len(rendered[end:]) - len(rendered[end:].lstrip())
