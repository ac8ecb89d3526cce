"""What our own programs, and whoever runs the plugin, must be allowed to do. Pure.

Of the programs' rights those without which nothing works. A test holds that the manifests grant
them.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, everywhere or in the operator's namespace alone."""

    verb: str
    resource: str
    """With its group and subresource: `pods`, `pods/status`, `piavpns.piavpn.dev`."""
    everywhere: bool = True

    def attributes(self, namespace: str) -> dict[str, str]:
        """Return it as an access review's `resourceAttributes`."""
        full, _, subresource = self.resource.partition("/")
        resource, _, group = full.partition(".")
        named = {
            "verb": self.verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": "" if self.everywhere else namespace,
        }
        return {key: value for key, value in named.items() if value}

    def __str__(self) -> str:
        where = " in all namespaces" if self.everywhere else ""
        return f"{self.verb} {self.resource}{where}"


OF_PROGRAMS = {
    "piavpn-operator": (
        Right("list", "piavpns.piavpn.dev"),
        Right("watch", "vpnservicecontainers.piavpn.dev"),
        Right("patch", "piavpns.piavpn.dev/status"),
        Right("patch", "vpnservicecontainers.piavpn.dev/status"),
        Right("patch", "statefulsets.apps"),
        Right("patch", "services"),
        Right("delete", "pods"),
        Right("list", "namespaces"),
        Right("list", "nodes"),
        Right("list", "secrets", everywhere=False),
        Right("patch", "secrets", everywhere=False),
        Right("patch", "configmaps", everywhere=False),
        Right("list", "leases.coordination.k8s.io", everywhere=False),
    ),
    "piavpn-node-agent": (
        Right("watch", "pods"),
        Right("patch", "pods/status"),
        Right("delete", "pods"),
        Right("watch", "piavpns.piavpn.dev"),
        Right("watch", "configmaps", everywhere=False),
        Right("patch", "leases.coordination.k8s.io", everywhere=False),
    ),
    "piavpn-gateway": (
        Right("get", "piavpns.piavpn.dev"),
        Right("patch", "piavpns.piavpn.dev/status"),
    ),
}
"""By service account in the operator's namespace."""

OF_USER = {
    Right("patch", "piavpns.piavpn.dev"): "renew and port --check",
    Right("patch", "pods"): "leaktest",
    Right("delete", "pods"): "upgrade",
    Right("create", "pods/exec", everywhere=False): "capture",
    Right("get", "pods/log"): "logs",
}
"""What commands of the plugin are of no use without."""
