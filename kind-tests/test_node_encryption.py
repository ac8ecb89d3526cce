"""What a VPN's pods say between nodes is encrypted if it wants so, and nobody restarts for it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

import pytest

from harness import apart, capture, kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

VPN = "sealed"
IN_CLEAR, ENCRYPTED = apart.PORTS
_FENCES = f"dst portrange {capture.FENCES.start}-{capture.FENCES.stop}"
_FILTER = f"'udp and (dst port {IN_CLEAR} or dst port {ENCRYPTED} or {_FENCES})'"


@pytest.fixture
def tunnel() -> Iterator[probes.Tunnel]:
    gateway_on, _ = apart.places()
    with apart.tunnel(VPN, gateway_on=gateway_on) as made:
        yield made


def test_between_nodes_nothing_of_it_goes_in_clear_any_more_and_nobody_restarts(
    tunnel: probes.Tunnel,
) -> None:
    uids = tunnel.gateway.uid, tunnel.app.uid
    with uplinks() as captures:
        # The control: in clear, the same captures see it leave both nodes.
        assert ports_used(captures, tunnel) == everywhere(IN_CLEAR)
        encrypt("WireGuard")
        waiting.eventually(lambda: goes_by_wireguard(captures, tunnel), "it is encrypted")
        assert ports_used(captures, tunnel) == everywhere(ENCRYPTED)
    assert (tunnel.gateway.uid, tunnel.app.uid) == uids
    for node in nodes.names():
        assert kubectl.get("configmap", f"piavpn-node-{node}", manifests.SYSTEM)
        assert "piavpn-nodes" in nodes.links(node)

    encrypt("None")
    waiting.eventually(lambda: not linked(), "the nodes' links go")
    waiting.eventually(
        lambda: tunnel.app.tcp() == tunnel.server_address, "the app is back in clear"
    )


def encrypt(kind: str) -> None:
    patch = {"spec": {"network": {"nodeEncryption": kind}}}
    kubectl.run("patch", "piavpn", VPN, "--type=merge", "--patch", json.dumps(patch))


def everywhere(port: int) -> dict[str, set[int]]:
    return {node: {port} for node in nodes.names()}


def linked() -> list[str]:
    return [node for node in nodes.names() if "piavpn-nodes" in nodes.links(node)]


@contextlib.contextmanager
def uplinks() -> Iterator[capture.Captures]:
    """Capture on all nodes' uplinks what they send each other for a VPN."""
    with contextlib.ExitStack() as stack:
        places = [
            capture.Place(node, capture.UPLINK, _FILTER, purpose="between-nodes")
            for node in nodes.names()
        ]
        yield capture.Captures(
            {place.node: stack.enter_context(capture.Capture(place).running()) for place in places}
        )


def goes_by_wireguard(captures: capture.Captures, tunnel: probes.Tunnel) -> bool:
    begun = captures.mark()
    works = tunnel.app.tcp() == tunnel.server_address
    return works and ports_since(captures, begun) == everywhere(ENCRYPTED)


def ports_used(captures: capture.Captures, tunnel: probes.Tunnel) -> dict[str, set[int]]:
    """Let the app speak, and return by node to which ports its packets left."""
    begun = captures.mark()
    assert tunnel.app.tcp() == tunnel.server_address
    assert tunnel.app.udp() == tunnel.server_address
    return ports_since(captures, begun)


def ports_since(captures: capture.Captures, begun: dict[str, int]) -> dict[str, set[int]]:
    packets = captures.since(begun).items()
    return {node: {_port(line) for line in lines} - {0} for node, lines in packets}


def _port(line: str) -> int:
    """Return to which of the two ports a packet went; 0 for a fence."""
    found = re.search(r" > \S+\.(\d+): ", line)
    assert found is not None, line
    port = int(found[1])
    return port if port in apart.PORTS else 0
