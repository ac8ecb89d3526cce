"""Specs of pods as a user, or whoever else may make pods, writes them."""

from __future__ import annotations

from typing import Any

GATE = {
    "name": "piavpn-gate",
    "args": ["gate"],
    "securityContext": {"capabilities": {"drop": ["ALL"]}},
}
APP = {"name": "app", "securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}


def confined(**changes: Any) -> dict[str, Any]:
    """Return the spec of a service's pod that keeps the promise, but for the changes."""
    return {
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.100.0.2"]},
        "initContainers": [GATE],
        "containers": [APP],
    } | changes
