"""The objects of an app behind a tunnel. Pure: every manifest stands here in full."""

from __future__ import annotations

import ipaddress

from piavpn.api import codec, names, types
from piavpn.controller import build_gateway, build_hooks, model, settings


def stateful_set(
    service: types.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: types.NetworkStatus,
    operator: settings.Settings,
) -> model.Object:
    """Return the app's StatefulSet: at most one pod holds the address."""
    spec = _pod_spec(service, address, network, operator)
    labels = _labels(service)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(service),
        "spec": {
            "serviceName": service.name,
            "replicas": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {names.LABEL_SERVICE: service.name}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "kubectl.kubernetes.io/default-container": build_hooks.APP,
                        **build_hooks.scripts(service),
                        names.ANNOTATION_ADDRESS: str(address),
                        names.ANNOTATION_SPEC_HASH: build_gateway.spec_hash(
                            {"labels": labels, "spec": spec}, operator.image
                        ),
                    },
                },
                "spec": spec,
            },
        },
    }


def cluster_service(service: types.VpnServiceContainer) -> model.Object | None:
    """Return the app's Service, or None for an app without ports."""
    if not service.spec.ports:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(service),
        "spec": {
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


def _pod_spec(
    service: types.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: types.NetworkStatus,
    operator: settings.Settings,
) -> model.Object:
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": _dns(service.namespace, network, operator.cluster_domain),
        "affinity": _on_the_gateways_node(service.spec.vpn_ref.name, operator.namespace),
        "initContainers": [_gate(address, network, operator.image)],
        "containers": [_app(service), *build_hooks.containers(service, address, operator.image)],
    }
    volumes = build_hooks.volumes(service)
    return spec | ({"volumes": volumes} if volumes else {})


def _gate(address: ipaddress.IPv4Address, network: types.NetworkStatus, image: str) -> model.Object:
    return {
        "name": names.GATE_CONTAINER,
        "image": image,
        "args": ["gate"],
        "env": [
            {"name": "PIAVPN_ADDRESS", "value": str(address)},
            {"name": "PIAVPN_GATEWAY_ADDRESS", "value": str(network.gateway_address)},
        ],
        "securityContext": {
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }


def _app(service: types.VpnServiceContainer) -> model.Object:
    spec = service.spec
    app: model.Object = {
        "name": build_hooks.APP,
        "image": spec.image,
        # A raw packet socket walks past the lock, and runtimes grant NET_RAW by default.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["NET_RAW"]},
        },
    }
    optional = {
        "imagePullPolicy": spec.image_pull_policy,
        "command": spec.command,
        "args": spec.args,
        "env": spec.env,
        "ports": [
            {"name": port.name, "containerPort": port.port, "protocol": port.protocol.value}
            for port in spec.ports
        ],
        "volumeMounts": build_hooks.app_mounts(service),
    }
    return app | {name: codec.encode(value) for name, value in optional.items() if value}


def _dns(namespace: str, network: types.NetworkStatus, domain: str) -> model.Object:
    """Return an ordinary pod's resolver settings, but with the gateway as the name server."""
    return {
        "nameservers": [str(network.gateway_address)],
        "searches": [f"{namespace}.svc.{domain}", f"svc.{domain}", domain],
        "options": [{"name": "ndots", "value": "5"}],
    }


def _on_the_gateways_node(vpn: str, namespace: str) -> model.Object:
    """Return the affinity that a bridge needs: it spans one node."""
    term = {
        "labelSelector": {"matchLabels": {names.LABEL_GATEWAY: vpn}},
        "namespaces": [namespace],
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _labels(service: types.VpnServiceContainer) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": service.name,
        "app.kubernetes.io/managed-by": "piavpn-operator",
        names.LABEL_SERVICE: service.name,
        names.LABEL_VPN: service.spec.vpn_ref.name,
    }


def metadata(service: types.VpnServiceContainer, name: str | None = None) -> model.Object:
    """Return the metadata of an object that is the service's, named as it unless `name` says."""
    return {
        "name": name or service.name,
        "namespace": service.namespace,
        "labels": _labels(service),
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
