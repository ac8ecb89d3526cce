"""The objects of a gateway. Pure: every manifest stands here in full."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from piavpn import logs
from piavpn.api import codec, gateway_config, names, piavpns
from piavpn.controller import build_proxy, model, settings

CONFIG_DIRECTORY = "/etc/piavpn/gateway"
ACCOUNT_DIRECTORY = "/etc/piavpn/account"
PORT_DIRECTORY = "/etc/piavpn/port"
STATE_DIRECTORY = "/run/piavpn"
HEALTH_PORT = 8080
RUNNING_GROUP = 65534
"""The group that the gateway goes on as."""

_SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": str(HEALTH_PORT)}
"""Annotations of the pod: no part of its spec, so that they replace no pod."""
_CAPABILITIES = ["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETPCAP", "SETUID"]


def config_map(
    vpn: piavpns.PiaVpn, config: gateway_config.GatewayConfig, namespace: str
) -> model.Object:
    """Return the ConfigMap that the gateway mounts and the node agent reads."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(vpn, namespace),
        "data": {gateway_config.KEY: config.to_json()} | _proxy_files(vpn, config.network),
    }


def _proxy_files(vpn: piavpns.PiaVpn, network: piavpns.NetworkStatus) -> dict[str, str]:
    proxy = vpn.spec.http_proxy
    return build_proxy.files(proxy, network) if proxy is not None else {}


def ports_secret(namespace: str) -> model.Object:
    """Return the Secret that the gateways write their ports into; nothing in it is ours."""
    labels = {"app.kubernetes.io/managed-by": "piavpn-operator"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": names.PORTS_SECRET, "namespace": namespace, "labels": labels},
    }


def stateful_set(vpn: piavpns.PiaVpn, operator: settings.Settings) -> model.Object:
    """Return the gateway's StatefulSet: at most one pod, replaced by the operator alone."""
    spec = _pod_spec(vpn, operator)
    # Another log format is no reason to interrupt a tunnel: it acts at the pod's next start.
    hashed = _pod_spec(vpn, dataclasses.replace(operator, log_format=logs.TEXT))
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(vpn, operator.namespace),
        "spec": {
            "serviceName": names.gateway_name(vpn.name),
            "replicas": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {names.LABEL_GATEWAY: vpn.name}},
            "template": {
                "metadata": {
                    "labels": _labels(vpn),
                    "annotations": _SCRAPED
                    | {names.ANNOTATION_SPEC_HASH: spec_hash(hashed, operator.image)},
                },
                "spec": spec,
            },
        },
    }


def spec_hash(template: model.Object, image: str) -> str:
    """Return a digest of what must change for a pod to be replaced: all but our own image."""
    text = json.dumps(template, sort_keys=True).replace(json.dumps(image), '"piavpn"')
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def session_inputs(config: gateway_config.GatewayConfig, account: model.Account | None) -> str:
    """Return a digest of what the gateway mounts; a change makes the kubelet refresh it now."""
    issued = account.token_time.isoformat() if account and account.token_time else ""
    return hashlib.sha256(f"{config.to_json()}\n{issued}".encode()).hexdigest()[:16]


def _pod_spec(vpn: piavpns.PiaVpn, operator: settings.Settings) -> model.Object:
    return {
        "serviceAccountName": "piavpn-gateway",
        **(codec.encode(vpn.spec.gateway, defaults=False) or {}),
        "affinity": _where_the_apps_are(vpn),
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        # The API token's file is its user's alone, root's here, and root is given up at the start.
        "securityContext": {"fsGroup": RUNNING_GROUP},
        "containers": [
            {
                "name": "gateway",
                "image": operator.image,
                "args": ["gateway"],
                "env": [
                    {"name": "PIAVPN_VPN", "value": vpn.name},
                    {"name": "PIAVPN_NAMESPACE", "value": operator.namespace},
                    *operator.log_environment,
                ],
                "ports": [{"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"}],
                "securityContext": {
                    "runAsUser": 0,
                    "runAsGroup": 0,
                    "runAsNonRoot": False,
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"], "add": _CAPABILITIES},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                "readinessProbe": _probe("/readyz", period=1, failures=2),
                "livenessProbe": _probe("/livez", period=10, failures=3),
                "volumeMounts": [
                    {"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
                    {"name": "account", "mountPath": ACCOUNT_DIRECTORY, "readOnly": True},
                    {"name": "port", "mountPath": PORT_DIRECTORY, "readOnly": True},
                    {"name": "wireguard", "mountPath": "/run/wireguard"},
                    {"name": "state", "mountPath": STATE_DIRECTORY},
                ],
            },
            *_proxy(vpn, operator.image),
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": names.gateway_name(vpn.name)}},
            {"name": "account", **_tokens(vpn)},
            {"name": "port", "secret": _own_port_alone(vpn)},
            {
                "name": "wireguard",
                "hostPath": {
                    "path": names.wireguard_directory(vpn.name),
                    "type": "DirectoryOrCreate",
                },
            },
            {"name": "state", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        ],
    }


def _proxy(vpn: piavpns.PiaVpn, image: str) -> list[model.Object]:
    proxy = vpn.spec.http_proxy
    return [build_proxy.container(proxy, image, "config")] if proxy is not None else []


def _where_the_apps_are(vpn: piavpns.PiaVpn) -> model.Object:
    """Return the wish for the apps' node: what goes to another one goes over the wire twice."""
    apps = {
        "labelSelector": {"matchLabels": {names.LABEL_VPN: vpn.name}},
        "namespaceSelector": {},
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": apps}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _tokens(vpn: piavpns.PiaVpn) -> model.Object:
    """Return the volume's source: the account's token only, and none yet is fine.

    A dedicated IP's token stands beside it.
    """
    account = vpn.spec.credentials_secret_ref.account_name
    token = {"optional": True, "items": [{"key": "token", "path": "token"}]}
    ref = vpn.spec.dedicated_ip_secret_ref
    if ref is None:
        return {"secret": {"secretName": account, **token}}
    dedicated = {"optional": True, "items": [{"key": ref.key, "path": "dedicated-ip"}]}
    sources = [{"secret": {"name": account, **token}}, {"secret": {"name": ref.name, **dedicated}}]
    return {"projected": {"sources": sources}}


def _own_port_alone(vpn: piavpns.PiaVpn) -> model.Object:
    return {
        "secretName": names.PORTS_SECRET,
        "optional": True,
        "items": [{"key": vpn.name, "path": "port.json"}],
    }


def _probe(path: str, *, period: int, failures: int) -> model.Object:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _labels(vpn: piavpns.PiaVpn) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "piavpn-gateway",
        "app.kubernetes.io/instance": vpn.name,
        "app.kubernetes.io/managed-by": "piavpn-operator",
        names.LABEL_GATEWAY: vpn.name,
    }


def metadata(vpn: piavpns.PiaVpn, namespace: str) -> model.Object:
    """Return the metadata of an object that is the gateway's."""
    return {
        "name": names.gateway_name(vpn.name),
        "namespace": namespace,
        "labels": _labels(vpn),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "PiaVpn",
                "name": vpn.name,
                "uid": vpn.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
