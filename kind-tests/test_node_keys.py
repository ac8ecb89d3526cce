"""A node's agent speaks for its own node alone: it publishes no other node's key."""

from __future__ import annotations

import json

import pytest

from harness import kubectl, manifests, product


def test_an_agent_writes_the_key_of_its_own_node_and_no_other() -> None:
    one, another, *_ = product.pods(product.AGENT)
    token = _token(one["metadata"]["name"])
    own, others = (pod["spec"]["nodeName"] for pod in (one, another))

    _write(token, f"piavpn-node-{own}", own)
    for name, label in (
        (f"piavpn-node-{others}", others),
        (f"piavpn-node-{others}", own),
        (f"piavpn-node-{own}", others),
        ("piavpn-gateway-home", own),
    ):
        with pytest.raises(kubectl.KubectlError, match="the ConfigMap of its own node alone"):
            _write(token, name, label)


def _token(pod: str) -> str:
    """Return a token as the agent's pod has it, which names its node."""
    return kubectl.run(
        "create", "token", "piavpn-node-agent", "-n", manifests.SYSTEM,
        "--bound-object-kind=Pod", f"--bound-object-name={pod}",
    ).strip()  # fmt: skip


def _write(token: str, name: str, node: str) -> None:
    """Try to, with this token and no other right.

    Raises:
        kubectl.KubectlError: it is refused.
    """
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": manifests.SYSTEM,
            "labels": {"piavpn.dev/node": node},
        },
    }
    server = "jsonpath={.clusters[0].cluster.server}"
    kubectl.run(
        "--kubeconfig=/dev/null", "--insecure-skip-tls-verify", f"--token={token}",
        f"--server={kubectl.run('config', 'view', '--minify', '-o', server)}",
        # An agent may have published its key, and own what is written here.
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-",
        stdin=json.dumps(body),
    )  # fmt: skip
