"""How soon an app's hook has run after its forwarded port changed."""

from __future__ import annotations

import datetime as dt
import re

from bench import results
from fakepia import client
from harness import kubectl, manifests, probes, waiting

_CHANGES = 5
_APP = "receiver"
_SCRIPT = 'echo "heard $PORT $(date +%s.%N)"'
_FORWARDED = re.compile(r"(\S+ \S+) INFO port forwarding: Port (\d+) ")
"""The gateway's word that a port is bound, and that its map leads to the app."""


def measure(tunnel: probes.Tunnel, pia: client.Client) -> results.Measurement:
    """Measure from the moment at which a new port leads to the app until its hook has run."""
    room = tunnel.app.namespace
    hook = {"script": _SCRIPT}
    app = manifests.app(_APP, room, tunnel.vpn, receiveForwardedPort={}, onPortForwarded=hook)
    try:
        kubectl.apply(app)
        kubectl.wait_for("vpnapp", _APP, "PortPropagated", room)
        samples = tuple(_one_change(tunnel, pia) for _ in range(_CHANGES))
    finally:
        kubectl.delete(app)
    return results.Measurement("port changed → app told", "s", samples, results.Bar(5))


def _one_change(tunnel: probes.Tunnel, pia: client.Client) -> float:
    before = _port(tunnel)
    with pia.failing({"portForward": {"*": "busy"}}):
        pia.forget_peers(tunnel.status()["session"]["server"])  # a new session binds anew
        kubectl.wait_for_reason("piavpn", tunnel.vpn, "PortForwarded", "PortBusy")
    kubectl.wait_for("piavpn", tunnel.vpn, "PortForwarded")
    port = _port(tunnel)
    assert port != before, "the port is the same"
    heard = waiting.eventually(lambda: _heard(tunnel, port), f"the hook heard of port {port}")
    return heard - _forwarded(tunnel, port)


def _port(tunnel: probes.Tunnel) -> int:
    return int(tunnel.status()["forwardedPort"]["port"])


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
