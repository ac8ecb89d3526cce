"""An app's objects, written out by hand as `kubectl get -o yaml` would show them."""

from __future__ import annotations

import dataclasses
from typing import Any

from controller_samples import IP, NET, NETWORK, SETTINGS, service
from test_controller_build_gateway import without_hash

from piavpn.api import pods, protocols, vpnapps
from piavpn.controller import build_service, network

ADDRESS = IP("10.100.0.10")
METADATA = {
    "name": "web",
    "namespace": "media",
    "labels": {
        "app.kubernetes.io/name": "web",
        "app.kubernetes.io/managed-by": "piavpn-operator",
        "piavpn.dev/service": "web",
        "piavpn.dev/vpn": "home",
    },
    "ownerReferences": [
        {
            "apiVersion": "piavpn.dev/v1alpha1",
            "kind": "VpnServiceContainer",
            "name": "web",
            "uid": "uid-of-web",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ],
}
GATE = {
    "name": "piavpn-gate",
    "image": "piavpn:0.1.0",
    "args": ["gate"],
    "env": [
        {"name": "PIAVPN_ADDRESS", "value": "10.100.0.10"},
        {"name": "PIAVPN_GATEWAY_ADDRESS", "value": "10.100.0.2"},
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
APP = {
    "name": "app",
    "image": "docker.io/library/busybox:1.37",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["NET_RAW"]},
    },
    "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}],
}
POD_SPEC = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "dnsPolicy": "None",
    "dnsConfig": {
        "nameservers": ["10.100.0.2"],
        "searches": ["media.svc.cluster.local", "svc.cluster.local", "cluster.local"],
        "options": [{"name": "ndots", "value": "5"}],
    },
    "affinity": {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": {"piavpn.dev/gateway": "home"}},
                        "namespaces": ["piavpn-system"],
                        "topologyKey": "kubernetes.io/hostname",
                    },
                }
            ]
        }
    },
    "initContainers": [GATE],
    "containers": [APP],
}


def specified(**changes: Any) -> vpnapps.VpnServiceContainer:
    app = service()
    return dataclasses.replace(app, spec=dataclasses.replace(app.spec, **changes))


def built(app: vpnapps.VpnServiceContainer) -> dict[str, Any]:
    return build_service.stateful_set(app, ADDRESS, NETWORK, SETTINGS)


def spec_hash(stateful_set: dict[str, Any]) -> str:
    annotations = stateful_set["spec"]["template"]["metadata"]["annotations"]
    found: str = annotations["piavpn.dev/spec-hash"]
    return found


def test_an_app_is_a_stateful_set_of_one_pod_held_back_by_the_gate() -> None:
    assert without_hash(built(service())) == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": METADATA,
        "spec": {
            "serviceName": "web",
            "replicas": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {"piavpn.dev/service": "web"}},
            "template": {
                "metadata": {
                    "labels": METADATA["labels"],
                    "annotations": {
                        "kubectl.kubernetes.io/default-container": "app",
                        "piavpn.dev/address": "10.100.0.10",
                    },
                },
                "spec": POD_SPEC,
            },
        },
    }


def test_what_the_user_says_of_the_app_is_in_its_container() -> None:
    app = specified(
        image_pull_policy=vpnapps.ImagePullPolicy.ALWAYS,
        command=("sh", "-c"),
        args=("exec app",),
        env=(pods.EnvVar("TZ", "Europe/Zurich"), pods.EnvVar("EMPTY")),
        ports=(vpnapps.ServicePort("dns", 53, protocols.Protocol.UDP),),
    )
    assert built(app)["spec"]["template"]["spec"]["containers"] == [
        {
            "name": "app",
            "image": "docker.io/library/busybox:1.37",
            "imagePullPolicy": "Always",
            "command": ["sh", "-c"],
            "args": ["exec app"],
            "env": [{"name": "TZ", "value": "Europe/Zurich"}, {"name": "EMPTY"}],
            "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["NET_RAW"]},
            },
        }
    ]


def test_an_app_with_ports_gets_a_service_of_the_same_numbers() -> None:
    app = specified(
        ports=(
            vpnapps.ServicePort("web", 8080),
            vpnapps.ServicePort("dns", 53, protocols.Protocol.UDP),
        )
    )
    assert build_service.cluster_service(app) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": METADATA,
        "spec": {
            "type": "ClusterIP",
            "selector": {"piavpn.dev/service": "web"},
            "ports": [
                {"name": "web", "port": 8080, "targetPort": 8080, "protocol": "TCP"},
                {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
            ],
        },
    }


def test_an_app_without_ports_gets_none() -> None:
    assert build_service.cluster_service(service(ports=())) is None


def test_a_new_gate_image_alone_replaces_no_app() -> None:
    newer = dataclasses.replace(SETTINGS, image="piavpn:0.2.0")
    upgraded = build_service.stateful_set(service(), ADDRESS, NETWORK, newer)
    assert spec_hash(upgraded) == spec_hash(built(service()))
    assert upgraded["spec"]["template"]["spec"]["initContainers"][0]["image"] == "piavpn:0.2.0"


def test_a_new_app_image_does() -> None:
    assert spec_hash(built(specified(image="busybox:2"))) != spec_hash(built(service()))


def test_a_new_address_does() -> None:
    moved = build_service.stateful_set(service(), IP("10.100.0.11"), NETWORK, SETTINGS)
    assert spec_hash(moved) != spec_hash(built(service()))


def test_another_vpn_does_even_with_the_same_network() -> None:
    moved = specified(vpn_ref=vpnapps.VpnRef("downloads"))
    assert spec_hash(built(moved)) != spec_hash(built(service()))


def test_another_log_format_is_taken_up_by_the_gate_s_next_start_and_replaces_no_app() -> None:
    as_json = dataclasses.replace(SETTINGS, log_format="json")
    made = build_service.stateful_set(service(), ADDRESS, NETWORK, as_json)
    (gate,) = made["spec"]["template"]["spec"]["initContainers"]
    assert gate["env"] == [*GATE["env"], {"name": "PIAVPN_LOG_FORMAT", "value": "json"}]
    assert spec_hash(made) == spec_hash(built(service()))


def test_another_gateway_address_does() -> None:
    other = network.of_subnet("home", NET("10.101.0.0/24"))
    moved = build_service.stateful_set(service(), ADDRESS, other, SETTINGS)
    assert spec_hash(moved) != spec_hash(built(service()))
