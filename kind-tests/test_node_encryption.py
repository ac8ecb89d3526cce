"""What a VPN's pods say between nodes is encrypted if it wants so, and nobody restarts for it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator

import pytest

from harness import apart, capture, kubectl, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

VPN = "sealed"
IN_CLEAR, ENCRYPTED = apart.PORTS
_FENCES = itertools.count(40001)
_FILTER = f"'udp and (dst port {IN_CLEAR} or dst port {ENCRYPTED} or dst portrange 40001-40099)'"


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
def uplinks() -> Iterator[dict[str, capture.Capture]]:
    """Capture on all nodes' uplinks what they send each other for a VPN."""
    with contextlib.ExitStack() as stack:
        places = [
            capture.Place(node, capture.UPLINK, _FILTER, purpose="between-nodes")
            for node in nodes.names()
        ]
        yield {
            place.node: stack.enter_context(capture.Capture(place).running()) for place in places
        }


def goes_by_wireguard(captures: dict[str, capture.Capture], tunnel: probes.Tunnel) -> bool:
    begun = mark(captures)
    works = tunnel.app.tcp() == tunnel.server_address
    return works and since(captures, begun) == everywhere(ENCRYPTED)


def ports_used(captures: dict[str, capture.Capture], tunnel: probes.Tunnel) -> dict[str, set[int]]:
    """Let the app speak, and return by node to which ports its packets left."""
    begun = mark(captures)
    assert tunnel.app.tcp() == tunnel.server_address
    assert tunnel.app.udp() == tunnel.server_address
    return since(captures, begun)


def mark(captures: dict[str, capture.Capture]) -> dict[str, int]:
    fence = next(_FENCES)
    return {node: captured.fence(fence) for node, captured in captures.items()}


def since(captures: dict[str, capture.Capture], begun: dict[str, int]) -> dict[str, set[int]]:
    ended = mark(captures)
    return {
        node: {_port(line) for line in captured.lines()[begun[node] : ended[node]]} - {0}
        for node, captured in captures.items()
    }


def _port(line: str) -> int:
    """Return to which of the two ports a packet went; 0 for a fence."""
    found = re.search(r" > \S+\.(\d+): ", line)
    assert found is not None, line
    port = int(found[1])
    return port if port in apart.PORTS else 0
