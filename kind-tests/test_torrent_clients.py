"""Real torrent clients, told their port, take a BitTorrent connection from the Internet there."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them, and to load the clients' image

ROOM, VPN, SECRET = "test-torrents", "torrents", "test-torrents"
IMAGE = "piavpn-clients:dev"
FOLDER = pathlib.Path(__file__).parent
TORRENT = (FOLDER / "clients/test.torrent").read_bytes()
INFO_HASH = hashlib.sha1(TORRENT[TORRENT.index(b"4:info") + 6 : -1]).digest()
PROTOCOL = b"\x13BitTorrent protocol"
HANDSHAKE = PROTOCOL + bytes(8) + INFO_HASH + b"-XX0001-" + b"p" * 12
CLIENTS = {"transmission": "Transmission", "qbittorrent": "qBittorrent", "deluge": "Deluge"}


def app(name: str, password: str = "correct horse") -> kubectl.Object:
    hook = {"client": CLIENTS[name], "clientSecretRef": {"name": name}}
    return manifests.app(
        name,
        ROOM,
        VPN,
        image=IMAGE,
        command=["start", name, password],
        receiveForwardedPort={},
        onPortForwarded=hook,
    )


def login(name: str, password: str = "correct horse") -> kubectl.Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": ROOM},
        "stringData": {"username": "admin", "password": password},
    }


@pytest.fixture(scope="module", autouse=True)
def _tunnel() -> Iterator[None]:
    manifests.require_stand_in()
    subprocess.run([FOLDER / "clients/load"], check=True, timeout=600)
    room, secret = manifests.namespace(ROOM), manifests.credentials(SECRET)
    vpn = manifests.pia_vpn(VPN, secret=SECRET, location="nl_amsterdam")
    try:
        kubectl.apply(room, secret, vpn)
        kubectl.wait_for("piavpn", VPN, "Ready")
        yield
    finally:
        kubectl.delete(vpn, secret, room)


@pytest.fixture(params=sorted(CLIENTS))
def torrent_client(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run one of the clients as the tunnel's receiver."""
    name: str = request.param
    try:
        kubectl.apply(login(name), app(name))
        kubectl.wait_for("vpnapp", name, "Ready", ROOM)
        yield name
    finally:
        kubectl.delete(app(name), login(name))


def port() -> int:
    kubectl.wait_for("piavpn", VPN, "PortForwarded")
    return int((kubectl.get("piavpn", VPN) or {})["status"]["forwardedPort"]["port"])


def takes_connections(pia: client.Client, wanted: int) -> None:
    """Wait until the client takes a BitTorrent connection from outside at the port.

    It has the torrent that is asked for, and answers with its own half of the handshake.
    """

    def answered() -> bool:
        address = (kubectl.get("piavpn", VPN) or {})["status"]["session"]["serverAddress"]
        answer = pia.connect(address, wanted, "tcp", HANDSHAKE.decode("latin-1"))
        assert answer is not None, "no answer"
        assert answer.encode("latin-1").startswith(PROTOCOL), answer
        return True

    waiting.eventually(answered, f"a BitTorrent connection at port {wanted}")


def test_a_client_is_told_its_port_and_reached_there_before_and_after_a_change(
    torrent_client: str, pia: client.Client
) -> None:
    kubectl.wait_for("vpnapp", torrent_client, "PortPropagated", ROOM)
    first = port()
    takes_connections(pia, first)

    session = (kubectl.get("piavpn", VPN) or {})["status"]["session"]
    with pia.failing({"portForward": {"*": "busy"}}):
        pia.forget_peers(session["server"])  # a new session binds the port anew
        kubectl.wait_for_reason("piavpn", VPN, "PortForwarded", "PortBusy")

    second = port()
    assert second != first

    def told() -> bool:
        found = kubectl.condition("vpnapp", torrent_client, "PortPropagated", ROOM)
        assert f"port {second} was told" in found.get("message", ""), found
        return True

    waiting.eventually(told, "the client has the new port")
    takes_connections(pia, second)


def test_a_refused_login_is_told_and_not_tried_again_until_the_secret_is_right(
    pia: client.Client,
) -> None:
    name = "qbittorrent"
    try:
        kubectl.apply(login(name, "wrong"), app(name))
        kubectl.wait_for_reason("vpnapp", name, "PortPropagated", "HookStopped", ROOM)
        log = kubectl.run("logs", "-n", ROOM, f"{name}-0", "-c", "piavpn-port-hook")
        assert "it refuses user name or password" in log
        assert "wrong" not in log

        kubectl.apply(login(name))
        kubectl.run(
            "wait", f"vpnapp/{name}", "-n", ROOM, "--for=condition=PortPropagated",
            "--timeout=150s", timeout=180,
        )  # fmt: skip
        takes_connections(pia, port())
    finally:
        kubectl.delete(app(name), login(name))
