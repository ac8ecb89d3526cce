"""The Kubernetes API as every process here uses it: plain dicts, server-side apply, watches."""

from piavpn.kube.client import Cluster
from piavpn.kube.kinds import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PIA_VPNS,
    PODS,
    SECRETS,
    SERVICE_CIDRS,
    SERVICES,
    STATEFUL_SETS,
    VPN_SERVICE_CONTAINERS,
    Kind,
    KubeError,
    Object,
)

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "LEASES",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NODES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PIA_VPNS",
    "PODS",
    "SECRETS",
    "SERVICES",
    "SERVICE_CIDRS",
    "STATEFUL_SETS",
    "VPN_SERVICE_CONTAINERS",
    "Cluster",
    "Kind",
    "KubeError",
    "Object",
]
