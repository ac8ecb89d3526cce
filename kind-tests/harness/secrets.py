"""The secrets that the product holds, to look for where they must not be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from harness import kubectl, manifests, probes

_KEYS = ("password", "token")
_PORTS = "piavpn-ports"
_LONG = 40
"""A port's signature is longer; its other fields are no secrets."""
_OWN_KEY = (
    "wg show all private-key || "
    "setpriv --reuid=65534 --regid=65534 --clear-groups wg show all private-key"
)


def known(tunnel: probes.Tunnel) -> set[str]:
    """Return passwords, tokens, ports' signatures, and the private keys of a tunnel."""
    return set(_kept()) | private_keys(tunnel)


def _kept() -> Iterator[str]:
    for secret in kubectl.items("secrets", "-n", manifests.SYSTEM):
        for key, value in (secret.get("data") or {}).items():
            text = base64.b64decode(value).decode()
            if key in _KEYS:
                yield text
            elif secret["metadata"]["name"] == _PORTS:
                fields = json.loads(text).values()
                yield from (f for f in fields if isinstance(f, str) and len(f) > _LONG)


def private_keys(tunnel: probes.Tunnel) -> set[str]:
    """Return the private keys of the tunnel's links, which only the gateway can read."""
    gateway = tunnel.gateway
    listed = kubectl.execute(
        gateway.name, gateway.namespace, gateway.container, "sh", "-c", _OWN_KEY
    )
    return {line.split()[1] for line in listed.splitlines() if not line.endswith("(none)")}


def spellings(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, in base64, escaped as in JSON."""
    return {secret, base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]}
