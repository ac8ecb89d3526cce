"""An app on another node than its gateway: what it sends goes from node to node first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from harness import apart, kubectl, manifests, nodes, probes

_NAME = "elsewhere"


def app(tunnel: probes.Tunnel, name: str, command: Sequence[str] = ()) -> kubectl.Object:
    """Return an app for a node that is not the gateway's.

    Args:
        tunnel: that it is behind.
        name: the app's.
        command: what it runs; nothing: it idles.
    """
    elsewhere = next(node for node in nodes.names() if node != tunnel.gateway.node)
    own = {"command": list(command)} if command else {}
    return manifests.app(name, tunnel.app.namespace, tunnel.vpn, **apart.on(elsewhere), **own)


@contextlib.contextmanager
def running(tunnel: probes.Tunnel) -> Iterator[probes.Pod]:
    """Have such an app for the time of a block."""
    made = app(tunnel, _NAME)
    try:
        kubectl.apply(made)
        kubectl.wait_for("vpnapp", _NAME, "Ready", tunnel.app.namespace)
        yield probes.Pod(f"{_NAME}-0", tunnel.app.namespace)
    finally:
        kubectl.delete(made)
