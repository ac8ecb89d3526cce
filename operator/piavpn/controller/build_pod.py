"""The pod of an app behind a tunnel. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable
from typing import Any

from piavpn.api import codec, names, piavpns, placement, pods, vpnapps
from piavpn.controller import build_hooks, build_mounts, model, settings, templates

_OF_THE_POD = ("fsGroup", "fsGroupChangePolicy", "supplementalGroups")
"""What of `securityContext` a pod has, and not a container."""
_ACTS_AT_ONCE = ("bypassCIDRs", "service", "suspend", "ip")
"""Fields of `spec` that no pod is replaced for: the address stands for `ip`."""


def template(
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: piavpns.NetworkStatus,
    operator: settings.Settings,
    *,
    tolerations: Iterable[placement.Toleration] = (),
) -> model.Object:
    """Return the pod's template.

    Args:
        service: the app.
        address: its own, on the bridge.
        network: its VPN's.
        operator: the operator's settings.
        tolerations: the gateway's, on whose node the pod had best be. A change of them replaces
            no pod: one that runs has its node.

    Raises:
        templates.NotAllowedError: the user's own template asks for what it may not have.
    """
    spec = _spec(service, address, network, operator)
    over = service.spec.template or pods.Template()
    if over.spec is not None:
        spec = templates.merged(spec, over.spec)
    spec = _tolerating(spec, tolerations)
    given = over.metadata or pods.TemplateMetadata()
    return {
        "metadata": {
            "labels": {
                **(service.spec.pod_labels or {}),
                **(given.labels or {}),
                **labels(service),
            },
            "annotations": {
                "kubectl.kubernetes.io/default-container": build_hooks.APP,
                **(service.spec.pod_annotations or {}),
                **(given.annotations or {}),
                **build_hooks.scripts(service),
                names.ANNOTATION_ADDRESS: str(address),
                names.ANNOTATION_SPEC_HASH: _spec_hash(service, address, network, operator),
            },
        },
        "spec": spec,
    }


def labels(service: vpnapps.VpnServiceContainer) -> dict[str, str]:
    """Return the labels of all that is made for the app."""
    return {
        "app.kubernetes.io/name": service.name,
        "app.kubernetes.io/managed-by": "piavpn-operator",
        names.LABEL_SERVICE: service.name,
        names.LABEL_VPN: service.spec.vpn_ref.name,
    }


def _spec_hash(
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: piavpns.NetworkStatus,
    operator: settings.Settings,
) -> str:
    """Return a digest of what must change for the pod to be replaced.

    Of what the user says, and not of what we make of it: an operator of another version, with
    another image and another template, replaces no pod. Nor does a default that is filled in.
    """
    said = codec.encode(service.spec, defaults=False)
    for field in _ACTS_AT_ONCE:
        said.pop(field, None)
    for hook in ("onPortForwarded", "onExitAddressChanged"):
        if hook in said:
            said[hook].pop("script", None)
    if "receiveForwardedPort" in said:
        said["receiveForwardedPort"] = True
    for mount in said.get("mounts", []):
        if "size" in mount:
            mount["size"] = True
    around = [str(address), str(network.gateway_address), operator.cluster_domain]
    text = json.dumps([said, around], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spec(
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
    network: piavpns.NetworkStatus,
    operator: settings.Settings,
) -> model.Object:
    context = service.spec.security_context or {}
    own = {name: context[name] for name in _OF_THE_POD if name in context}
    volumes = [*build_hooks.volumes(service), *build_mounts.volumes(service)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": _dns(service.namespace, network, operator.cluster_domain),
        "affinity": _near_the_gateway(service.spec.vpn_ref.name, operator.namespace),
        "initContainers": [_gate(address, network, operator)],
        "containers": [_app(service), *build_hooks.containers(service, address, operator.image)],
        **({"securityContext": own} if own else {}),
        **({"volumes": volumes} if volumes else {}),
    }


def _tolerating(spec: model.Object, tolerations: Iterable[placement.Toleration]) -> model.Object:
    """Return the spec with these tolerations beside the user's own."""
    own = spec.get("tolerations") or []
    added = [codec.encode(each, defaults=False) for each in tolerations]
    both = [*own, *(each for each in added if each not in own)]
    return spec | ({"tolerations": both} if both else {})


def _gate(
    address: ipaddress.IPv4Address, network: piavpns.NetworkStatus, operator: settings.Settings
) -> model.Object:
    return {
        "name": names.GATE_CONTAINER,
        "image": operator.image,
        "args": ["gate"],
        "env": [
            {"name": "PIAVPN_ADDRESS", "value": str(address)},
            {"name": "PIAVPN_GATEWAY_ADDRESS", "value": str(network.gateway_address)},
            *operator.log_environment,
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


def _app(service: vpnapps.VpnServiceContainer) -> model.Object:
    spec = service.spec
    context = spec.security_context or {}
    optional = {
        "imagePullPolicy": spec.image_pull_policy,
        "command": spec.command,
        "args": spec.args,
        "env": _env(spec),
        "envFrom": spec.env_from,
        "ports": [
            {"name": port.name, "containerPort": port.port, "protocol": port.protocol.value}
            for port in spec.ports
        ],
        "resources": spec.resources,
        "livenessProbe": spec.liveness_probe,
        "readinessProbe": spec.readiness_probe,
        "startupProbe": spec.startup_probe,
        "securityContext": {k: v for k, v in context.items() if k not in _OF_THE_POD},
        "volumeMounts": [*build_hooks.app_mounts(service), *build_mounts.app_mounts(service)],
    }
    said = {name: codec.encode(value, defaults=False) for name, value in optional.items() if value}
    return templates.sealed({"name": build_hooks.APP, "image": spec.image, **said})


def _env(spec: vpnapps.VpnServiceContainerSpec) -> tuple[Any, ...]:
    if spec.time_zone is None:
        return spec.env
    return (*spec.env, pods.EnvVar("TZ", spec.time_zone))


def _dns(namespace: str, network: piavpns.NetworkStatus, domain: str) -> model.Object:
    """Return an ordinary pod's resolver settings, but with the gateway as the name server."""
    return {
        "nameservers": [str(network.gateway_address)],
        "searches": [f"{namespace}.svc.{domain}", f"svc.{domain}", domain],
        "options": [{"name": "ndots", "value": "5"}],
    }


def _near_the_gateway(vpn: str, namespace: str) -> model.Object:
    """Return the wish for the gateway's node: from another one all goes over the wire twice."""
    term = {
        "labelSelector": {"matchLabels": {names.LABEL_GATEWAY: vpn}},
        "namespaces": [namespace],
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
