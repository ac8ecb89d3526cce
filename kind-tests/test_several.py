"""Many apps on one tunnel, of several namespaces, and tunnels side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

ROOMS = ("test-crowd-a", "test-crowd-b")
CROWD, APART = "crowd", "apart"
LOCATIONS = {CROWD: "swiss", APART: "de-frankfurt"}
MANY = 20
_SECRET = "test-crowd"


@pytest.fixture(scope="module")
def apps() -> Iterator[dict[str, list[probes.Pod]]]:
    """Give two tunnels, one with 20 apps of two namespaces, on nodes of their own."""
    vpns = [
        manifests.pia_vpn(name, secret=_SECRET, location=place) for name, place in LOCATIONS.items()
    ]
    objects = [manifests.namespace(room) for room in ROOMS]
    made = [
        manifests.app(f"app-{number}", ROOMS[number % len(ROOMS)], CROWD, **idle())
        for number in range(MANY)
    ]
    lone = manifests.app("lone", ROOMS[0], APART)
    try:
        kubectl.apply(*objects, manifests.credentials(_SECRET))
        for vpn, node in zip(vpns, nodes.names(), strict=False):
            place(vpn, node)
        kubectl.apply(*made, lone)
        for app in (*made, lone):
            metadata = app["metadata"]
            kubectl.wait_for(
                "vpnapp", metadata["name"], "Ready", metadata["namespace"], seconds=180
            )
        yield {
            CROWD: [pod_of(app) for app in made],
            APART: [pod_of(lone)],
        }
    finally:
        kubectl.delete(*made, lone, *vpns, manifests.credentials(_SECRET), *objects)


def idle() -> kubectl.Object:
    return {"resources": {"requests": {"cpu": "1m", "memory": "8Mi"}}}


def place(vpn: kubectl.Object, node: str) -> None:
    """Make the tunnel while its gateway can come to this node alone."""
    others = [name for name in nodes.names() if name != node]
    kubectl.run("cordon", *others)
    try:
        kubectl.apply(vpn)
        kubectl.wait_for("piavpn", vpn["metadata"]["name"], "Ready")
    finally:
        kubectl.run("uncordon", *others)


def pod_of(app: kubectl.Object) -> probes.Pod:
    metadata = app["metadata"]
    return probes.Pod(f"{metadata['name']}-0", metadata["namespace"])


def status(name: str) -> kubectl.Object:
    found: kubectl.Object = (kubectl.get("piavpn", name) or {})["status"]
    return found


def test_twenty_apps_of_two_namespaces_share_a_tunnel_each_at_its_own_address(
    apps: dict[str, list[probes.Pod]],
) -> None:
    told = [
        app
        for room in ROOMS
        for app in kubectl.items("vpnapp", "-n", room)
        if app["spec"]["vpnRef"]["name"] == CROWD
    ]
    assert len({app["status"]["address"] for app in told}) == MANY
    assert status(CROWD)["services"] == MANY
    server = status(CROWD)["session"]["serverAddress"]
    assert {pod.tcp() for pod in apps[CROWD]} == {server}


def test_tunnels_side_by_side_have_nodes_bridges_networks_and_servers_of_their_own(
    apps: dict[str, list[probes.Pod]],
) -> None:
    crowd, apart = status(CROWD), status(APART)
    assert crowd["nodeName"] != apart["nodeName"]
    assert crowd["network"]["bridge"] != apart["network"]["bridge"]
    assert crowd["network"]["subnet"] != apart["network"]["subnet"]
    (lone,) = apps[APART]
    assert lone.node == apart["nodeName"]
    assert lone.tcp() == apart["session"]["serverAddress"] != crowd["session"]["serverAddress"]


def test_an_app_moves_from_one_tunnel_to_the_other(apps: dict[str, list[probes.Pod]]) -> None:
    mover = apps[CROWD][0]
    kubectl.apply(manifests.app("app-0", mover.namespace, APART, **idle()))
    server = status(APART)["session"]["serverAddress"]
    waiting.eventually(lambda: seen_as(mover) == server, "it is seen with the other's address")
    assert mover.node == status(APART)["nodeName"]
    assert {pod.tcp() for pod in apps[CROWD][1:3]} == {status(CROWD)["session"]["serverAddress"]}


def seen_as(pod: probes.Pod) -> str:
    """Ask as who the pod is seen; nobody while it is replaced."""
    try:
        return pod.tcp()
    except kubectl.KubectlError:
        return ""
