"""How long it takes from applied custom resources to a working tunnel with an app behind it."""

from __future__ import annotations

import time

from bench import results
from harness import kubectl, manifests, waiting

_NAME = "bench-ready"
_ROUNDS = 20


def measure() -> results.Measurement:
    """Measure until PiaVpn and VpnServiceContainer are Ready, from before `kubectl apply`."""
    room, secret = manifests.namespace(_NAME), manifests.credentials(_NAME)
    kubectl.apply(room, secret)
    try:
        samples = tuple(_round() for _ in range(_ROUNDS))
    finally:
        kubectl.delete(room, secret)
    return results.Measurement(
        "CRs applied → both Ready",
        "s",
        samples,
        results.Bar(15),
        row="PiaVpn and app applied → both Ready",
    )


def _round() -> float:
    vpn = manifests.pia_vpn(_NAME, secret=_NAME)
    app = manifests.app("app", _NAME, _NAME)
    try:
        since = time.monotonic()
        kubectl.apply(vpn, app)
        kubectl.wait_for("piavpn", _NAME, "Ready")
        kubectl.wait_for("vpnapp", "app", "Ready", _NAME)
        return time.monotonic() - since
    finally:
        kubectl.delete(app, vpn)
        waiting.eventually(lambda: not _pods(), "the pods are gone")


def _pods() -> list[kubectl.Object]:
    gateways = kubectl.items("pods", "-n", manifests.SYSTEM, "-l", f"piavpn.dev/gateway={_NAME}")
    return gateways + kubectl.items("pods", "-n", _NAME)
