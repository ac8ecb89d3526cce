"""What there is of the objects that a pass would make: a few lists, however many apps.

What is unchanged in them need not be written again, and what bears their names and is someone
else's must not be.
"""

from __future__ import annotations

from collections.abc import Iterable

from piavpn import kube
from piavpn.api import names, piavpns, vpnapps
from piavpn.controller import model, network

_MADE_HERE = "app.kubernetes.io/managed-by=piavpn-operator"


class OfServices:
    """The objects of a VPN's services."""

    def __init__(
        self, cluster: kube.Cluster, vpn: str, services: tuple[vpnapps.VpnServiceContainer, ...]
    ) -> None:
        """Look.

        Raises:
            kube.KubeError: the API server did not answer.
        """
        self.objects: dict[model.ObjectKey, model.Object] = {}
        self.foreign: dict[model.ServiceKey, str] = {}
        self.stateful_sets: dict[model.ServiceKey, str] = {}
        """Their UIDs."""
        if not services:
            return
        label = f"{names.LABEL_VPN}={vpn}"
        for kind in (kube.STATEFUL_SETS, kube.SERVICES, kube.NETWORK_POLICIES):
            self.objects |= keyed(kind, cluster.list(kind, labels=label))
        if any(mount.size is not None for each in services for mount in each.spec.mounts):
            kind = kube.PERSISTENT_VOLUME_CLAIMS  # nobody's: they outlive app and VPN
            self.objects |= keyed(kind, cluster.list(kind, labels=_MADE_HERE))
        for service in services:
            self._look_for_others(cluster, service)
        self.with_ports = frozenset(
            network.key(service)
            for service in services
            if _owned_by(self._of(kube.SERVICES, service), service.uid)
        )

    with_ports: frozenset[model.ServiceKey] = frozenset()

    def _look_for_others(self, cluster: kube.Cluster, service: vpnapps.VpnServiceContainer) -> None:
        """See what bears the service's name without the VPN's label: another VPN's, or no one's."""
        wanted = [kube.STATEFUL_SETS, *([kube.SERVICES] if service.spec.ports else [])]
        for kind in wanted:
            found = self._of(kind, service)
            if found is None:
                found = cluster.get(kind, service.name, service.namespace)
                self.objects |= keyed(kind, [found] if found is not None else [])
            if found is None:
                continue
            if not _owned_by(found, service.uid):
                self.foreign[network.key(service)] = f"a {kind.kind}"
            elif kind is kube.STATEFUL_SETS:
                self.stateful_sets[network.key(service)] = found["metadata"]["uid"]

    def _of(self, kind: kube.Kind, service: vpnapps.VpnServiceContainer) -> model.Object | None:
        return self.objects.get((kind.plural, service.namespace, service.name))


def of_gateway(
    cluster: kube.Cluster, vpn: piavpns.PiaVpn, namespace: str, *, port_forwarding: bool
) -> dict[model.ObjectKey, model.Object]:
    """Return the objects of a VPN's gateway, but for its ConfigMap.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    label = f"{names.LABEL_GATEWAY}={vpn.name}"
    kinds = [kube.STATEFUL_SETS, kube.SERVICES]
    kinds += [kube.NETWORK_POLICIES] if vpn.spec.http_proxy is not None else []
    found: dict[model.ObjectKey, model.Object] = {}
    for kind in kinds:
        found |= keyed(kind, cluster.list(kind, namespace, labels=label))
    secret = cluster.get(kube.SECRETS, names.PORTS_SECRET, namespace) if port_forwarding else None
    return found | keyed(kube.SECRETS, [secret] if secret is not None else [])


def keyed(kind: kube.Kind, items: Iterable[model.Object]) -> dict[model.ObjectKey, model.Object]:
    """Return the objects by their keys."""
    return {(kind.plural, o["metadata"]["namespace"], o["metadata"]["name"]): o for o in items}


def _owned_by(found: model.Object | None, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or [] if found is not None else []
    return any(owner["uid"] == uid for owner in owners)
