"""The nodes' public keys, each in a ConfigMap that its node's agent writes and all agents read.

Pure. A private key stays on its node.
"""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from piavpn.api import names

_KEY = "publicKey"
_KEY_BYTES = 32


@dataclasses.dataclass(frozen=True, slots=True)
class NodeKey:
    """A node's public key."""

    node: str
    public_key: str
    """Of WireGuard, base64."""


def config_map(key: NodeKey, *, namespace: str, node_uid: str) -> dict[str, Any]:
    """Return the ConfigMap that tells it; it goes with its Node.

    An admission policy of ours asks of it the name and the label.
    """
    node = {"apiVersion": "v1", "kind": "Node", "name": key.node, "uid": node_uid}
    return {
        "metadata": {
            "name": names.node_key_name(key.node),
            "namespace": namespace,
            "labels": {names.LABEL_NODE: key.node},
            "ownerReferences": [node],
        },
        "data": {_KEY: key.public_key},
    }


def from_config_map(body: dict[str, Any]) -> NodeKey:
    """Read such a ConfigMap.

    Raises:
        ValueError: it holds no public key, or has another node's name.
        KeyError: it lacks the label or the key.
    """
    metadata = body["metadata"]
    found = NodeKey(node=metadata["labels"][names.LABEL_NODE], public_key=body["data"][_KEY])
    if metadata["name"] != names.node_key_name(found.node):
        raise ValueError(f"its label says node {found.node!r}, whose ConfigMap it is not")
    if len(base64.b64decode(found.public_key, validate=True)) != _KEY_BYTES:
        raise ValueError(f"its {_KEY} is not WireGuard's: {_KEY_BYTES} bytes in base64")
    return found
