"""What a VpnServiceContainer says of its app's pod, beyond image and command.

Much of it is what a pod has, under the same names: it is handed on as it is. The CRD's schema says
what each of these may hold, and a test holds that to be what Kubernetes knows.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any

from piavpn.api import codec

AsInAPod = dict[str, Any]
"""A part of a pod's spec, as the Kubernetes API has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class EnvVar:
    """One environment variable: its value, or where that comes from."""

    name: str
    value: str = ""
    value_from: AsInAPod | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SecretRef:
    """A Secret in the app's namespace."""

    name: str
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigMapRef:
    """A ConfigMap in the app's namespace."""

    name: str
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class EnvFrom:
    """Environment variables that one Secret or ConfigMap holds."""

    secret_ref: SecretRef | None = None
    config_map_ref: ConfigMapRef | None = None
    prefix: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the app, and the one source that it comes from."""

    path: str
    sub_path: str | None = None
    read_only: bool = False
    size: str | None = None
    """Of a claim that is made for it and kept."""
    storage_class_name: str | None = None
    """Of that claim; None for the cluster's default."""
    persistent_volume_claim: AsInAPod | None = None
    host_path: AsInAPod | None = None
    nfs: AsInAPod | None = None
    empty_dir: AsInAPod | None = None
    config_map: AsInAPod | None = None
    secret: AsInAPod | None = None


class ServiceType(StrEnum):
    """How a Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class ExternalTrafficPolicy(StrEnum):
    """Which nodes take traffic from outside the cluster for a Service."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the app's Service is beyond its ports."""

    type: ServiceType = ServiceType.CLUSTER_IP
    annotations: dict[str, str] | None = None
    load_balancer_ip: str | None = codec.field("loadBalancerIP", default=None)
    load_balancer_class: str | None = None
    external_traffic_policy: ExternalTrafficPolicy | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TemplateMetadata:
    """Labels and annotations of the pod."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """A pod template that is merged over the generated one."""

    metadata: TemplateMetadata | None = None
    spec: AsInAPod | None = None
