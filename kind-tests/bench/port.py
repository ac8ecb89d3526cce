"""How soon after its forwarded port changed an app is reached by it, and its hook has run."""

from __future__ import annotations

import datetime as dt
import re
import time

from bench import results
from fakepia import client
from harness import kubectl, manifests, probes, waiting

_CHANGES = 20
_MOST_SECONDS = 60.0
_APP = "receiver"
_LISTENS_AT = 6881
# Ends at once when told to; answers each caller with a word.
_LISTEN = f"""
import signal, socket
signal.signal(signal.SIGTERM, lambda *_: exit())
with socket.create_server(("0.0.0.0", {_LISTENS_AT})) as listener:
    while True:
        connection, _ = listener.accept()
        with connection: connection.recv(100), connection.sendall(b"here")
"""
_SCRIPT = 'echo "heard $PORT $(date +%s.%N)"'
_FORWARDED = re.compile(r"(\S+ \S+) INFO port forwarding: Port (\d+) ")
"""The gateway's word that a port is bound, and that its map leads to the app."""


def measure(tunnel: probes.Tunnel, pia: client.Client) -> list[results.Measurement]:
    """Measure from when PIA forwards a new port until the Internet reaches the app by it.

    And from when the gateway leads it to the app until the app's hook has run.
    """
    room = tunnel.app.namespace
    app = manifests.app(
        _APP,
        room,
        tunnel.vpn,
        command=["python3", "-c", _LISTEN],
        receiveForwardedPort={"port": _LISTENS_AT},
        onPortForwarded={"script": _SCRIPT},
    )
    try:
        kubectl.apply(app)
        kubectl.wait_for("vpnapp", _APP, "PortPropagated", room)
        samples = [_one_change(tunnel, pia) for _ in range(_CHANGES)]
    finally:
        kubectl.delete(app)
    reached, told = (tuple(column) for column in zip(*samples, strict=True))
    return [
        results.Measurement(
            "port changed → app reached by it",
            "s",
            reached,
            results.Bar(1),
            row="another port at PIA → the Internet reaches the app by it",
        ),
        results.Measurement(
            "port changed → app told",
            "s",
            told,
            results.Bar(5),
            row="another port → the app's hook has run",
        ),
    ]


def _one_change(tunnel: probes.Tunnel, pia: client.Client) -> tuple[float, float]:
    before = _forwarded_by(pia)
    with pia.failing({"portForward": {"*": "busy"}}):
        pia.forget_peers(tunnel.status()["session"]["server"])  # a new session binds anew
        kubectl.wait_for_reason("piavpn", tunnel.vpn, "PortForwarded", "PortBusy")
    address, port = _newly_forwarded(pia, before)
    since = time.monotonic()
    while pia.connect(address, port, "tcp", "hello") != "here":
        assert time.monotonic() - since < _MOST_SECONDS, f"nobody answers at port {port}"
    reached = time.monotonic() - since
    heard = waiting.eventually(lambda: _heard(tunnel, port), f"the hook heard of port {port}")
    return reached, heard - _forwarded(tunnel, port)


def _newly_forwarded(pia: client.Client, before: set[tuple[str, int]]) -> tuple[str, int]:
    """Wait, without a pause, until a server forwards a new port; return both."""
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline:
        if new := _forwarded_by(pia) - before:
            return new.pop()
    raise AssertionError("no server forwards a new port")


def _forwarded_by(pia: client.Client) -> set[tuple[str, int]]:
    """Return the addresses of servers and the ports that they forward."""
    servers = pia.state().servers.values()
    return {(one.address, port) for one in servers for port in one.forwarded_ports}


def _forwarded(tunnel: probes.Tunnel, port: int) -> float:
    """Return when the gateway forwarded the port first, in seconds of the machine's clock."""
    log = kubectl.run("logs", "-n", tunnel.gateway.namespace, tunnel.gateway.name)
    for moment, number in _FORWARDED.findall(log):
        if int(number) == port:
            parsed = dt.datetime.strptime(f"{moment} +0000", "%Y-%m-%d %H:%M:%S,%f %z")
            return parsed.timestamp()
    raise AssertionError(f"the gateway's log has no word of port {port}")


def _heard(tunnel: probes.Tunnel, port: int) -> float:
    """Return when the hook ran for this port; 0 while it has not."""
    log = kubectl.run("logs", "-n", tunnel.app.namespace, f"{_APP}-0", "-c", "piavpn-port-hook")
    found = re.search(rf"^heard {port} (\S+)$", log, re.MULTILINE)
    return float(found[1]) if found else 0.0
