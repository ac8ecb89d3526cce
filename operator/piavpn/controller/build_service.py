"""The objects of an app behind a tunnel. Pure: every manifest stands here in full."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from piavpn.api import codec, names, piavpns, placement, pods, vpnapps
from piavpn.controller import build_pod, model, settings, templates


def stateful_set(
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: piavpns.NetworkStatus,
    operator: settings.Settings,
    *,
    tolerations: Iterable[placement.Toleration] = (),
) -> model.Object:
    """Return the app's StatefulSet: at most one pod holds the address.

    Args: as build_pod.template.

    Raises:
        templates.NotAllowedError: the user's own template asks for what it may not have.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(service),
        "spec": {
            "serviceName": service.name,
            "replicas": 0 if service.spec.suspend else 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {names.LABEL_SERVICE: service.name}},
            "template": build_pod.template(
                service, address, network, operator, tolerations=tolerations
            ),
        },
    }


def refusal(
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: piavpns.NetworkStatus,
    operator: settings.Settings,
) -> str:
    """Return why the app's own template cannot be used; empty where it can."""
    try:
        build_pod.template(service, address, network, operator)
    except templates.NotAllowedError as error:
        return str(error)
    return ""


def cluster_service(service: vpnapps.VpnServiceContainer) -> model.Object | None:
    """Return the app's Service, or None for an app without ports."""
    if not service.spec.ports:
        return None
    options = service.spec.service or pods.ServiceOptions()
    said = codec.encode(options, defaults=False)
    annotations = {"annotations": said.pop("annotations")} if options.annotations else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(service) | annotations,
        "spec": {
            "type": options.type.value,
            **said,
            "selector": {names.LABEL_SERVICE: service.name},
            "ports": [
                {
                    "name": port.name,
                    "port": port.port,
                    "targetPort": port.port,
                    "protocol": port.protocol.value,
                }
                for port in service.spec.ports
            ],
        },
    }


def metadata(service: vpnapps.VpnServiceContainer, name: str | None = None) -> model.Object:
    """Return the metadata of an object that is the service's, named as it unless `name` says."""
    return {
        "name": name or service.name,
        "namespace": service.namespace,
        "labels": build_pod.labels(service),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "VpnServiceContainer",
                "name": service.name,
                "uid": service.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
