"""The node agents, to be taken away and brought back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness import kubectl, manifests, waiting

_AGENT = "daemonset/piavpn-node-agent"
_NOWHERE = '{"spec":{"template":{"spec":{"nodeSelector":{"piavpn.dev/nowhere":"true"}}}}}'
_EVERYWHERE = '{"spec":{"template":{"spec":{"nodeSelector":null}}}}'


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Take all agents away inside the block, unless it brings them back itself."""
    _patch(_NOWHERE)
    try:
        waiting.eventually(lambda: not _running(), "the agents are gone")
        yield
    finally:
        bring_back()


def bring_back() -> None:
    """Have an agent on every node again, and wait for them."""
    _patch(_EVERYWHERE)
    kubectl.run("-n", manifests.SYSTEM, "rollout", "status", _AGENT, "--timeout=90s")


def _patch(patch: str) -> None:
    kubectl.run("-n", manifests.SYSTEM, "patch", _AGENT, "--type=merge", "-p", patch)


def _running() -> list[kubectl.Object]:
    return kubectl.items(
        "pods", "-n", manifests.SYSTEM, "-l", "app.kubernetes.io/name=piavpn-node-agent"
    )
