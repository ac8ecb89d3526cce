"""The gateway's objects, written out by hand as `kubectl get -o yaml` would show them."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any

from controller_samples import ACCOUNT, CONFIG, NOW, SETTINGS, ZURICH_401, vpn

from piavpn.api import piavpns
from piavpn.controller import build_gateway

METADATA = {
    "name": "piavpn-gateway-home",
    "namespace": "piavpn-system",
    "labels": {
        "app.kubernetes.io/name": "piavpn-gateway",
        "app.kubernetes.io/instance": "home",
        "app.kubernetes.io/managed-by": "piavpn-operator",
        "piavpn.dev/gateway": "home",
    },
    "ownerReferences": [
        {
            "apiVersion": "piavpn.dev/v1alpha1",
            "kind": "PiaVpn",
            "name": "home",
            "uid": "uid-of-home",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ],
}
POD_SPEC = {
    "serviceAccountName": "piavpn-gateway",
    "affinity": {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": {"piavpn.dev/vpn": "home"}},
                        "namespaceSelector": {},
                        "topologyKey": "kubernetes.io/hostname",
                    },
                }
            ]
        }
    },
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 5,
    "securityContext": {"fsGroup": 65534},
    "containers": [
        {
            "name": "gateway",
            "image": "piavpn:0.1.0",
            "args": ["gateway"],
            "env": [
                {"name": "PIAVPN_VPN", "value": "home"},
                {"name": "PIAVPN_NAMESPACE", "value": "piavpn-system"},
            ],
            "ports": [{"name": "health", "containerPort": 8080, "protocol": "TCP"}],
            "securityContext": {
                "runAsUser": 0,
                "runAsGroup": 0,
                "runAsNonRoot": False,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {
                    "drop": ["ALL"],
                    "add": [
                        "NET_ADMIN",
                        "NET_BIND_SERVICE",
                        "NET_RAW",
                        "SETGID",
                        "SETPCAP",
                        "SETUID",
                    ],
                },
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
            "readinessProbe": {
                "httpGet": {"path": "/readyz", "port": "health"},
                "periodSeconds": 1,
                "timeoutSeconds": 3,
                "failureThreshold": 2,
            },
            "livenessProbe": {
                "httpGet": {"path": "/livez", "port": "health"},
                "periodSeconds": 10,
                "timeoutSeconds": 3,
                "failureThreshold": 3,
            },
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/piavpn/gateway", "readOnly": True},
                {"name": "account", "mountPath": "/etc/piavpn/account", "readOnly": True},
                {"name": "port", "mountPath": "/etc/piavpn/port", "readOnly": True},
                {"name": "wireguard", "mountPath": "/run/wireguard"},
                {"name": "state", "mountPath": "/run/piavpn"},
            ],
        }
    ],
    "volumes": [
        {"name": "config", "configMap": {"name": "piavpn-gateway-home"}},
        {
            "name": "account",
            "secret": {
                "secretName": "piavpn-account-pia-credentials",
                "optional": True,
                "items": [{"key": "token", "path": "token"}],
            },
        },
        {
            "name": "port",
            "secret": {
                "secretName": "piavpn-ports",
                "optional": True,
                "items": [{"key": "home", "path": "port.json"}],
            },
        },
        {
            "name": "wireguard",
            "hostPath": {"path": "/run/piavpn/home/wireguard", "type": "DirectoryOrCreate"},
        },
        {"name": "state", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ],
}


def without_hash(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """Take out the digest, which no one can write by hand; what it does is tested below."""
    annotations = stateful_set["spec"]["template"]["metadata"]["annotations"]
    assert annotations.pop("piavpn.dev/spec-hash")
    return stateful_set


def spec_hash(image: str = SETTINGS.image) -> str:
    built = build_gateway.stateful_set(vpn(), dataclasses.replace(SETTINGS, image=image))
    found: str = built["spec"]["template"]["metadata"]["annotations"]["piavpn.dev/spec-hash"]
    return found


def test_the_gateway_is_a_stateful_set_of_one_pod_with_no_more_rights_than_it_needs() -> None:
    assert without_hash(build_gateway.stateful_set(vpn(), SETTINGS)) == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": METADATA,
        "spec": {
            "serviceName": "piavpn-gateway-home",
            "replicas": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {"piavpn.dev/gateway": "home"}},
            "template": {
                "metadata": {
                    "labels": METADATA["labels"],
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                },
                "spec": POD_SPEC,
            },
        },
    }


def test_the_config_map_holds_all_that_the_gateway_is_told_and_no_secret() -> None:
    built = build_gateway.config_map(vpn(), CONFIG, "piavpn-system")
    document = json.loads(built["data"].pop("config.json"))
    assert built == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": METADATA, "data": {}}
    assert document == {
        "vpn": "home",
        "network": {
            "subnet": "10.100.0.0/24",
            "bridge": "br-home",
            "hostAddress": "10.100.0.1",
            "gatewayAddress": "10.100.0.2",
        },
        "clusterDomain": "cluster.local",
        "servers": [
            {"region": "swiss", "cn": "zurich401", "address": "198.18.1.1", "port": 1337},
            {"region": "swiss", "cn": "zurich402", "address": "198.18.1.2", "port": 1337},
        ],
        "avoided": [],
        "withoutPort": [],
        "locations": ["swiss"],
        "dedicatedIP": False,
        "graceSeconds": 3600,
        "returnSeconds": 1800,
        "dnsUpstreams": [],
        "statusURL": "https://www.privateinternetaccess.com/api/client/status",
    }


def test_a_new_image_alone_replaces_no_gateway() -> None:
    assert spec_hash(image="piavpn:0.2.0") == spec_hash()


def test_another_log_format_is_taken_up_at_the_next_start_and_replaces_no_gateway() -> None:
    as_json = dataclasses.replace(SETTINGS, log_format="json")
    made = build_gateway.stateful_set(vpn(), as_json)["spec"]["template"]
    env = made["spec"]["containers"][0]["env"]
    assert {"name": "PIAVPN_LOG_FORMAT", "value": "json"} in env
    assert made["metadata"]["annotations"]["piavpn.dev/spec-hash"] == spec_hash()


def test_anything_else_in_the_spec_does() -> None:
    spec = build_gateway.stateful_set(vpn(), SETTINGS)["spec"]["template"]["spec"]
    same = build_gateway.spec_hash(spec, SETTINGS.image)
    changed = build_gateway.spec_hash(spec | {"hostNetwork": True}, SETTINGS.image)
    assert same == spec_hash()
    assert changed != same


def test_the_mounts_are_refreshed_when_servers_or_token_change_and_only_then() -> None:
    inputs = build_gateway.session_inputs(CONFIG, ACCOUNT)
    other_servers = dataclasses.replace(CONFIG, servers=(ZURICH_401,))
    new_token = dataclasses.replace(ACCOUNT, token_time=NOW + timedelta(minutes=1))
    assert build_gateway.session_inputs(CONFIG, ACCOUNT) == inputs
    assert build_gateway.session_inputs(other_servers, ACCOUNT) != inputs
    assert build_gateway.session_inputs(CONFIG, new_token) != inputs
    assert build_gateway.session_inputs(CONFIG, None) != inputs


def test_a_dedicated_ip_s_token_is_mounted_beside_the_account_s() -> None:
    ref = piavpns.DedicatedIpSecretRef("pia-dip", "dip")
    dedicated = dataclasses.replace(
        vpn(), spec=dataclasses.replace(vpn().spec, dedicated_ip_secret_ref=ref)
    )
    built = build_gateway.stateful_set(dedicated, SETTINGS)
    volumes = {v["name"]: v for v in built["spec"]["template"]["spec"]["volumes"]}
    assert volumes["account"]["projected"]["sources"] == [
        {
            "secret": {
                "name": "piavpn-account-pia-credentials",
                "optional": True,
                "items": [{"key": "token", "path": "token"}],
            }
        },
        {
            "secret": {
                "name": "pia-dip",
                "optional": True,
                "items": [{"key": "dip", "path": "dedicated-ip"}],
            }
        },
    ]
