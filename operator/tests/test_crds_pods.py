"""What an app may say of its pod is what Kubernetes knows, and breaks no promise."""

from __future__ import annotations

import re
from typing import Any

import crd_schema
import pytest
from kubernetes import client

from piavpn.api import promise

OF_KUBERNETES = {
    ".env[].valueFrom": client.V1EnvVarSource,
    ".livenessProbe": client.V1Probe,
    ".readinessProbe": client.V1Probe,
    ".startupProbe": client.V1Probe,
    ".resources": client.V1ResourceRequirements,
    ".mounts[].persistentVolumeClaim": client.V1PersistentVolumeClaimVolumeSource,
    ".mounts[].hostPath": client.V1HostPathVolumeSource,
    ".mounts[].nfs": client.V1NFSVolumeSource,
    ".mounts[].emptyDir": client.V1EmptyDirVolumeSource,
    ".mounts[].configMap": client.V1ConfigMapVolumeSource,
    ".mounts[].secret": client.V1SecretVolumeSource,
    ".template.spec": client.V1PodSpec,
}
"""What is handed on as it is, and what it is there."""


def unknown_fields(node: crd_schema.Schema, *models: Any, path: str) -> list[str]:
    """Return the paths of a schema's fields that the client's models do not have."""
    known: dict[str, str] = {}
    for model in models:
        known |= {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    found = []
    for name, child in node.get("properties", {}).items():
        if name not in known:
            found.append(f"{path}.{name}")
            continue
        kind = known[name].removeprefix("list[").removesuffix("]")
        if isinstance(inner := getattr(client, kind, None), type):
            found += unknown_fields(child.get("items", child), inner, path=f"{path}.{name}")
    return found


@pytest.mark.parametrize("path", OF_KUBERNETES)
def test_what_is_handed_on_to_the_pod_is_what_kubernetes_knows(path: str) -> None:
    node = dict(crd_schema.walk(crd_schema.schema("vpnservicecontainers")))[f".spec{path}"]
    assert node["properties"]
    assert unknown_fields(node, OF_KUBERNETES[path], path=path) == []


def test_a_security_context_is_what_pods_and_containers_have() -> None:
    path = ".spec.securityContext"
    node = dict(crd_schema.walk(crd_schema.schema("vpnservicecontainers")))[path]
    models = client.V1PodSecurityContext, client.V1SecurityContext
    assert unknown_fields(node, *models, path=path) == []


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    node = {"properties": {"httpGet": {"properties": {"porrt": {}, "path": {}}}, "exeq": {}}}
    assert unknown_fields(node, client.V1Probe, path=".p") == [".p.httpGet.porrt", ".p.exeq"]


def test_no_capability_is_offered_that_breaks_the_promise() -> None:
    path = ".spec.securityContext.capabilities.add[]"
    node = dict(crd_schema.walk(crd_schema.schema("vpnservicecontainers")))[path]
    (rule,) = (each["rule"] for each in node["x-kubernetes-validations"] if "in [" in each["rule"])
    assert set(re.findall("'([A-Z_]+)'", rule)) == promise.POWERS
