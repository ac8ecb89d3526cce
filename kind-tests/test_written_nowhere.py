"""Tokens, passwords and keys stand nowhere but in their Secrets: in nothing that was written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, nodes, probes, secrets, waiting

pytestmark = pytest.mark.owns_nodes

_KINDS = (
    "piavpns,vpnservicecontainers,pods,statefulsets,deployments,daemonsets,replicasets,services,"
    "configmaps,events,leases,networkpolicies,nodes,namespaces,persistentvolumeclaims"
)
_LOGS = "find /var/log/pods -type f -exec zcat -f {} +"  # the rotated ones, too
_PROCESSES = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
_ENVIRONMENT = "tr '\\0' '\\n' </proc/self/environ"


def said(tunnel: probes.Tunnel) -> Iterator[tuple[str, str]]:
    """Yield all texts that somebody may read who may not read Secrets, and where each is."""
    yield "objects", kubectl.run("get", _KINDS, "-A", "-o", "yaml", "--show-managed-fields")
    for node in nodes.names():
        yield f"logs of all containers of {node}", nodes.run(node, "sh", "-c", _LOGS)
        yield f"arguments of all processes of {node}", nodes.run(node, "sh", "-c", _PROCESSES)
    gateway = tunnel.gateway
    where = (gateway.name, gateway.namespace, gateway.container)
    yield "metrics of the gateway", kubectl.execute(*where, "curl", "-s", "localhost:8080/metrics")
    yield "environment of the gateway", kubectl.execute(*where, "sh", "-c", _ENVIRONMENT)
    for part, container in (("operator", "operator"), ("node-agent", "node-agent")):
        for pod in kubectl.items(
            "pods", "-n", manifests.SYSTEM, "-l", f"app.kubernetes.io/name=piavpn-{part}"
        ):
            address = f"http://{pod['status']['podIP']}:9810/metrics"
            name = pod["metadata"]["name"]
            yield (
                f"metrics of {name}",
                kubectl.execute(name, manifests.SYSTEM, container, "curl", "-s", address),
            )


def log_in_again() -> None:
    """Have the operator that runs now log in: one before it may have, whose log is gone."""
    token = "piavpn-account-test-steady"
    kubectl.run("delete", "secret", token, "-n", manifests.SYSTEM)
    waiting.eventually(lambda: _has_token(token), "the operator has logged in again")


def _has_token(name: str) -> bool:
    secret = kubectl.get("secret", name, manifests.SYSTEM) or {}
    return "token" in secret.get("data", {})


def found(secret: str, text: str) -> bool:
    return any(spelling in text for spelling in secrets.spellings(secret))


def test_no_secret_is_written_anywhere_but_where_it_belongs(steady: probes.Tunnel) -> None:
    log_in_again()
    looked_for = secrets.known(steady)
    keys = secrets.private_keys(steady)
    assert manifests.PASSWORD in looked_for
    assert keys
    # The same search finds each where it is kept: it would find it elsewhere.
    kept = kubectl.run("get", "secrets", "-n", manifests.SYSTEM, "-o", "yaml")
    assert {secret for secret in looked_for if not found(secret, kept)} == keys
    place_of = dict(said(steady))
    # And the texts are those of parts that had them in hand.
    logs = "".join(text for name, text in place_of.items() if name.startswith("logs"))
    assert "logged in to PIA" in logs
    assert "the tunnel to" in logs
    assert steady.status()["session"]["publicKey"] in place_of["objects"]
    assert "piavpn_tunnel_up" in place_of["metrics of the gateway"]

    leaked = [
        f"a secret of {len(secret)} characters is in the {place}"
        for place, text in place_of.items()
        for secret in looked_for
        if found(secret, text)
    ]
    assert leaked == []
