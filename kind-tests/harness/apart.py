"""A tunnel whose gateway is on one node, and its app on the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from harness import kubectl, nodes, probes

PORTS = (14789, 14790)
"""Of UDP, at nodes: what joins a VPN's bridges, in clear and encrypted."""


def places() -> tuple[str, str]:
    """Return the names of the node with the API server and of the one without."""
    control_plane, worker = sorted(
        nodes.names(), key=lambda name: not name.endswith("control-plane")
    )
    return control_plane, worker


@contextlib.contextmanager
def tunnel(
    name: str,
    *,
    gateway_on: str,
    tolerations: Sequence[kubectl.Object] = (),
    command: Sequence[str] = (),
    **app: Any,
) -> Iterator[probes.Tunnel]:
    """Make tunnel and pods as `probes.tunnel` does, gateway and app on different nodes.

    Args:
        name: the PiaVpn's.
        gateway_on: the node for the gateway.
        tolerations: of the gateway.
        command: what the app runs; nothing: it idles.
        app: more of the app's spec.
    """
    (elsewhere,) = set(nodes.names()) - {gateway_on}
    label = f"test-{name}"
    gateway = {"nodeSelector": {label: "here"}, "tolerations": [*tolerations]}
    kubectl.run("label", "node", gateway_on, f"{label}=here")
    try:
        with probes.tunnel(
            name, location="nl_amsterdam", command=command,
            app={**on(elsewhere), **app}, gateway=gateway,
        ) as made:  # fmt: skip
            assert (made.gateway.node, made.app.node) == (gateway_on, elsewhere)
            yield made
    finally:
        kubectl.run("label", "nodes", "--all", f"{label}-")


def on(node: str) -> kubectl.Object:
    """Return what puts an app on a node, as a part of its spec."""
    return {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}}}


@contextlib.contextmanager
def cut(node: str) -> Iterator[None]:
    """Have nothing pass between the node's bridges and others' for the time of a block."""
    ports = ", ".join(map(str, PORTS))
    chains = (
        f"chain {hook} {{ type filter hook {hook} priority -400; udp dport {{ {ports} }} drop; }};"
        for hook in ("input", "output")
    )
    nodes.run(node, "nft", f"table inet test_cut {{ {' '.join(chains)} }}")
    try:
        yield
    finally:
        nodes.run(node, "nft", "delete table inet test_cut")
