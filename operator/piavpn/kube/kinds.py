"""The kinds of object that this product touches, and the error that every request may raise."""

from __future__ import annotations

import dataclasses
from typing import Any

from piavpn.api import names

Object = dict[str, Any]

NOT_FOUND, CONFLICT, GONE = 404, 409, 410


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where the API serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the URL path of one object, or of the collection."""
        root = "api" if self.api_version == "v1" else "apis"
        parts = ["", root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


PODS = Kind("v1", "Pod", "pods")
NODES = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACES = Kind("v1", "Namespace", "namespaces", namespaced=False)
SECRETS = Kind("v1", "Secret", "secrets")
CONFIG_MAPS = Kind("v1", "ConfigMap", "configmaps")
PERSISTENT_VOLUME_CLAIMS = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICES = Kind("v1", "Service", "services")
EVENTS = Kind("v1", "Event", "events")
STATEFUL_SETS = Kind("apps/v1", "StatefulSet", "statefulsets")
LEASES = Kind("coordination.k8s.io/v1", "Lease", "leases")
SERVICE_CIDRS = Kind("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", namespaced=False)
NETWORK_POLICIES = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
PIA_VPNS = Kind(names.API_VERSION, "PiaVpn", "piavpns", namespaced=False)
VPN_SERVICE_CONTAINERS = Kind(names.API_VERSION, "VpnServiceContainer", "vpnservicecontainers")


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """The objects that a list or a watch is about."""

    kind: Kind
    namespace: str | None = None
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        """Return the selectors as query parameters."""
        wanted = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in wanted.items() if value}


class KubeError(Exception):
    """A request that failed, other than by 404 where an absent object is an answer.

    Attributes:
        status: the HTTP status code; 0 when no answer came.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def answered(self) -> bool:
        """Tell whether the API server said anything at all."""
        return self.status != 0

    @property
    def absent(self) -> bool:
        """Tell whether what was asked for is not served at all."""
        return self.status == NOT_FOUND

    @property
    def conflict(self) -> bool:
        """Tell whether another writer was there first: expected now and then, and retried."""
        return self.status == CONFLICT
