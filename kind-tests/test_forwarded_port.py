"""The forwarded port reaches the app, tells it, and stays."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from fakepia import client, world
from harness import kubectl, manifests, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

ROOM, VPN, SECRET = "test-port", "ported", "test-port"
INTERNET = "198.18.200.1"
# Listens by both protocols wherever /run/piavpn/forwarded-port says, and answers with who calls.
APP = """
import pathlib, selectors, signal, socket
signal.signal(signal.SIGTERM, lambda *_: exit())
told = pathlib.Path("/run/piavpn/forwarded-port")
poll, sockets, port = selectors.DefaultSelector(), [], ""
while True:
    if (now := told.read_text()) != port:
        for each in sockets: poll.unregister(each), each.close()
        port, sockets = now, []
    if port and not sockets:
        tcp = socket.create_server(("0.0.0.0", int(port)))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", int(port)))
        sockets = [tcp, udp]
        for each in sockets: poll.register(each, selectors.EVENT_READ)
    for key, _ in poll.select(0.2):
        if key.fileobj.type == socket.SOCK_STREAM:
            connection, peer = key.fileobj.accept()
            with connection:
                connection.sendall(f"{peer[0]} says ".encode() + connection.recv(100))
        else:
            said, peer = key.fileobj.recvfrom(100)
            key.fileobj.sendto(f"{peer[0]} says ".encode() + said, peer)
"""
SCRIPT = """
echo "$PORT|$OLD_PORT|$TARGET_IP|$EXIT_ADDRESS" >>/tmp/told
[ "$(wc -l </tmp/told)" -gt 2 ]
"""


@dataclasses.dataclass(frozen=True)
class Receiver:
    """A tunnel whose port goes to an app, and the Internet that calls it."""

    pia: client.Client

    def status(self) -> kubectl.Object:
        return dict((kubectl.get("piavpn", VPN) or {}).get("status") or {})

    def port(self) -> int:
        """Wait until a port is forwarded, and return it."""
        kubectl.wait_for("piavpn", VPN, "PortForwarded")
        return int(self.status()["forwardedPort"]["port"])

    def answer(self, port: int, protocol: str = "tcp") -> str | None:
        address = self.status()["session"]["serverAddress"]
        return self.pia.connect(address, port, protocol, "hello")

    def answers(self, port: int, protocol: str = "tcp") -> None:
        """Wait until a caller from outside gets the app's answer, with its own address in it."""

        def heard() -> bool:
            said = self.answer(port, protocol)
            assert said == f"{INTERNET} says hello", said
            return True

        waiting.eventually(heard, f"an answer at port {port} by {protocol}")


def receiver_app(name: str, **spec: Any) -> kubectl.Object:
    wanted = {"receiveForwardedPort": {}, "command": ["python3", "-c", APP]} | spec
    return manifests.app(name, ROOM, VPN, **wanted)


def told(container: str = "piavpn-port-hook") -> list[str]:
    """Return the lines that the hook's script wrote."""
    with contextlib.suppress(kubectl.KubectlError):
        return kubectl.execute("torrent-0", ROOM, container, "cat", "/tmp/told").splitlines()
    return []


@pytest.fixture(scope="module")
def receiver(pia: client.Client) -> Iterator[Receiver]:
    room, secret = manifests.namespace(ROOM), manifests.credentials(SECRET)
    endpoints = manifests.endpoints() | {"portCheckURL": f"https://{world.FRONT}/port/{{port}}"}
    vpn = manifests.pia_vpn(VPN, secret=SECRET, location="nl_amsterdam", endpoints=endpoints)
    app = receiver_app("torrent", onPortForwarded={"script": SCRIPT})
    try:
        kubectl.apply(room, secret, vpn, app)
        kubectl.wait_for("piavpn", VPN, "Ready")
        kubectl.wait_for("vpnapp", "torrent", "Ready", ROOM)
        yield Receiver(pia)
    finally:
        kubectl.delete(app, receiver_app("other"), vpn, secret, room)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_who_calls_from_outside_reaches_the_app_with_the_own_address(
    receiver: Receiver, protocol: str
) -> None:
    port = receiver.port()
    receiver.answers(port, protocol)
    # The control: another port of that server leads nowhere.
    assert receiver.answer(port - 1, protocol) is None


def test_the_port_is_tried_from_outside_and_found_open(receiver: Receiver) -> None:
    receiver.port()
    kubectl.wait_for("piavpn", VPN, "PortOpen")
    assert kubectl.condition("piavpn", VPN, "PortOpen")["reason"] == "Reached"


def test_the_app_has_the_port_and_the_exit_address_as_files(receiver: Receiver) -> None:
    port = receiver.port()
    found = kubectl.execute(
        "torrent-0", ROOM, "app",
        "sh", "-c", "cat /run/piavpn/forwarded-port; echo; cat /run/piavpn/exit-address",
    )  # fmt: skip
    assert found.splitlines() == [str(port), receiver.status()["session"]["serverAddress"]]


def test_the_script_is_told_retried_and_its_result_shown(receiver: Receiver) -> None:
    port = receiver.port()
    kubectl.wait_for("vpnapp", "torrent", "PortPropagated", ROOM)
    app = kubectl.get("vpnapp", "torrent", ROOM) or {}
    condition = kubectl.condition("vpnapp", "torrent", "PortPropagated", ROOM)
    assert condition["reason"] == "Told"
    assert f"port {port} was told" in condition["message"]
    lines = told()
    exit_address = receiver.status()["session"]["serverAddress"]
    assert len(lines) >= 3  # it fails twice
    assert lines[-1] == f"{port}||{app['status']['address']}|{exit_address}"
    events = kubectl.items("events", "-n", ROOM, "--field-selector=involvedObject.name=torrent")
    messages = [event["message"] for event in events if event["reason"] in {"Told", "HookFailing"}]
    assert any("PortPropagated is True" in message for message in messages), messages
    assert any("PortPropagated is False" in message for message in messages), messages


def test_the_script_is_told_again_when_the_app_was_restarted(receiver: Receiver) -> None:
    port = receiver.port()
    kubectl.wait_for("vpnapp", "torrent", "PortPropagated", ROOM)
    before = len(told())
    kubectl.execute("torrent-0", ROOM, "app", "sh", "-c", "kill 1")

    def again() -> bool:
        lines = told()
        assert len(lines) > before, lines
        return lines[-1].startswith(f"{port}|{port}|")

    waiting.eventually(again, "another run of the script")


def test_the_port_outlives_the_gateways_pod(receiver: Receiver) -> None:
    port = receiver.port()
    app = (kubectl.get("pod", "torrent-0", ROOM) or {})["metadata"]["uid"]
    gateway = f"piavpn-gateway-{VPN}-0"
    before = (kubectl.get("pod", gateway, manifests.SYSTEM) or {})["metadata"]["uid"]
    kubectl.run("delete", "pod", gateway, "-n", manifests.SYSTEM)

    def replaced() -> bool:
        pod = kubectl.get("pod", gateway, manifests.SYSTEM) or {"metadata": {"uid": before}}
        return bool(pod["metadata"]["uid"] != before)

    waiting.eventually(replaced, "another gateway's pod")
    kubectl.wait_for("pod", gateway, "Ready", manifests.SYSTEM)
    receiver.answers(port)
    receiver.answers(port, "udp")
    assert receiver.port() == port
    assert (kubectl.get("pod", "torrent-0", ROOM) or {})["metadata"]["uid"] == app


@pytest.mark.parametrize(
    ("failure", "reason"),
    [("unauthorized", "Unauthorized"), ("hang", "Unreachable"), ("busy", "PortBusy")],
)
def test_trouble_is_told_apart_and_leaves_the_tunnel_up(
    receiver: Receiver, failure: str, reason: str
) -> None:
    receiver.port()
    with receiver.pia.failing({"portForward": {"*": failure}}):
        # The server's loss of our key makes a new session, by which the port is bound anew.
        receiver.pia.forget_peers(receiver.status()["session"]["server"])
        kubectl.wait_for_reason("piavpn", VPN, "PortForwarded", reason)
        kubectl.wait_for("piavpn", VPN, "Ready")
    port = receiver.port()
    receiver.answers(port)


def test_a_second_receiver_is_refused_and_takes_over(receiver: Receiver) -> None:
    port = receiver.port()
    kubectl.apply(receiver_app("other"))
    refused = kubectl.wait_for_reason("vpnapp", "other", "Accepted", "PortReceiverTaken", ROOM)
    assert f"{ROOM}/torrent" in refused["message"]
    receiver.answers(port)

    kubectl.run("delete", "vpnapp", "torrent", "-n", ROOM)
    kubectl.wait_for("vpnapp", "other", "PortPropagated", ROOM)
    assert receiver.port() == port
    receiver.answers(port)


def test_the_last_receiver_to_go_turns_port_forwarding_off(receiver: Receiver) -> None:
    port = receiver.port()
    kubectl.run("delete", "vpnapp", "--all", "-n", ROOM)

    def off() -> bool:
        status = receiver.status()
        assert "forwardedPort" not in status, status
        return kubectl.condition("piavpn", VPN, "PortForwarded") == {}

    waiting.eventually(off, "no forwarded port")
    assert receiver.answer(port) is None
