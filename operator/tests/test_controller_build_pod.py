"""What a user says of an app's pod, and what the pod becomes of it; written out by hand."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest
from controller_samples import IP, NETWORK, SETTINGS, service
from test_controller_build_service import APP, GATE, POD_SPEC, built, spec_hash, specified

from piavpn.api import pods, vpnapps
from piavpn.controller import build_mounts, build_service

SECRET_KEY = {"secretKeyRef": {"name": "web", "key": "password"}}
PROBE = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 5}
MOUNTS = (
    pods.Mount("/config", size="2Gi", storage_class_name="fast"),
    pods.Mount("/var/lib/app", size="1Gi", sub_path="app"),
    pods.Mount("/library", persistent_volume_claim={"claimName": "library"}, read_only=True),
    pods.Mount("/dev/dri", host_path={"path": "/dev/dri", "type": "Directory"}),
    pods.Mount("/data", nfs={"server": "nas.lan", "path": "/volume1/data"}),
    pods.Mount("/cache", empty_dir={}),
    pods.Mount("/etc/app.conf", sub_path="app.conf", config_map={"name": "app"}),
    pods.Mount("/keys", secret={"secretName": "keys"}),
)


def pod_of(**changes: Any) -> dict[str, Any]:
    template: dict[str, Any] = built(specified(**changes))["spec"]["template"]
    return template


def app_of(**changes: Any) -> dict[str, Any]:
    (app,) = pod_of(**changes)["spec"]["containers"]
    return dict(app)


def test_variables_come_from_values_secrets_and_the_time_zone() -> None:
    app = app_of(
        env=(pods.EnvVar("A", "1"), pods.EnvVar("PASSWORD", value_from=SECRET_KEY)),
        env_from=(
            pods.EnvFrom(secret_ref=pods.SecretRef("all")),
            pods.EnvFrom(config_map_ref=pods.ConfigMapRef("more", optional=True), prefix="X_"),
        ),
        time_zone="Europe/Zurich",
    )
    assert app["env"] == [
        {"name": "A", "value": "1"},
        {"name": "PASSWORD", "valueFrom": SECRET_KEY},
        {"name": "TZ", "value": "Europe/Zurich"},
    ]
    assert app["envFrom"] == [
        {"secretRef": {"name": "all"}},
        {"configMapRef": {"name": "more", "optional": True}, "prefix": "X_"},
    ]


def test_probes_and_resources_are_the_container_s_as_they_are() -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}
    app = app_of(
        liveness_probe=PROBE, readiness_probe=PROBE, startup_probe=PROBE, resources=resources
    )
    assert app == APP | {
        "livenessProbe": PROBE,
        "readinessProbe": PROBE,
        "startupProbe": PROBE,
        "resources": resources,
    }


def test_user_and_rights_are_the_container_s_and_groups_of_files_the_pod_s() -> None:
    restricted = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "fsGroup": 1000,
        "supplementalGroups": [44],
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = pod_of(security_context=restricted)["spec"]
    assert spec["securityContext"] == {"fsGroup": 1000, "supplementalGroups": [44]}
    assert spec["containers"][0]["securityContext"] == {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_capabilities_that_are_dropped_are_dropped_beside_net_raw() -> None:
    context = {"capabilities": {"add": ["SYS_NICE"], "drop": ["CHOWN"]}}
    assert app_of(security_context=context)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["SYS_NICE"], "drop": ["CHOWN", "NET_RAW"]},
    }


def test_hooks_in_an_image_of_the_user_s_are_as_little_root_as_the_app() -> None:
    hook = vpnapps.OnPortForwarded(script="true", image="alpine:3.22")
    wanted = {"receive_forwarded_port": vpnapps.ReceiveForwardedPort(), "on_port_forwarded": hook}
    _, as_root = pod_of(**wanted)["spec"]["containers"]
    _, as_user = pod_of(**wanted, security_context={"runAsNonRoot": True})["spec"]["containers"]
    assert "runAsNonRoot" not in as_root["securityContext"]
    assert as_user["securityContext"]["runAsNonRoot"] is True


def test_each_mount_is_a_volume_of_its_source() -> None:
    spec = pod_of(mounts=MOUNTS)["spec"]
    assert spec["volumes"] == [
        {"name": "mount-config", "persistentVolumeClaim": {"claimName": "web.config"}},
        {
            "name": "mount-var-lib-app-cfa7c776",
            "persistentVolumeClaim": {"claimName": "web.var-lib-app-cfa7c776"},
        },
        {"name": "mount-library", "persistentVolumeClaim": {"claimName": "library"}},
        {
            "name": "mount-dev-dri-2ce59710",
            "hostPath": {"path": "/dev/dri", "type": "Directory"},
        },
        {"name": "mount-data", "nfs": {"server": "nas.lan", "path": "/volume1/data"}},
        {"name": "mount-cache", "emptyDir": {}},
        {"name": "mount-etc-app-conf-8670dcb6", "configMap": {"name": "app"}},
        {"name": "mount-keys", "secret": {"secretName": "keys"}},
    ]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "mount-config", "mountPath": "/config"},
        {"name": "mount-var-lib-app-cfa7c776", "mountPath": "/var/lib/app", "subPath": "app"},
        {"name": "mount-library", "mountPath": "/library", "readOnly": True},
        {"name": "mount-dev-dri-2ce59710", "mountPath": "/dev/dri"},
        {"name": "mount-data", "mountPath": "/data"},
        {"name": "mount-cache", "mountPath": "/cache"},
        {
            "name": "mount-etc-app-conf-8670dcb6",
            "mountPath": "/etc/app.conf",
            "subPath": "app.conf",
        },
        {"name": "mount-keys", "mountPath": "/keys"},
    ]


def test_a_mount_with_a_size_is_a_claim_that_nobody_owns() -> None:
    first, second = build_mounts.claims(specified(mounts=MOUNTS))
    assert first == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "web.config",
            "namespace": "media",
            "labels": {
                "app.kubernetes.io/name": "web",
                "app.kubernetes.io/managed-by": "piavpn-operator",
                "piavpn.dev/service": "web",
            },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
            "storageClassName": "fast",
        },
    }
    assert "storageClassName" not in second["spec"]


def test_no_two_paths_and_no_two_apps_share_a_claim() -> None:
    paths = ["/a/b", "/a-b", "/a.b", "/A-b", "/a_b", f"/{'x' * 60}a", f"/{'x' * 60}b"]
    apps = [service("web"), service("web-a")]
    names = [
        build_mounts.claim_name(app, pods.Mount(path))
        for app in apps
        for path in [*paths, "/b", "/a-b-c"]
    ]
    assert len(set(names)) == len(names)
    assert max(len(name.partition(".")[2]) for name in names) <= 63 - len("mount-")


def test_labels_and_annotations_go_with_the_pod_and_the_operator_s_own_win() -> None:
    made = pod_of(
        pod_labels={"team": "home", "app.kubernetes.io/name": "other"},
        pod_annotations={"a": "1", "b": "1"},
        template=pods.Template(metadata=pods.TemplateMetadata(annotations={"b": "2"})),
    )["metadata"]
    del made["annotations"]["piavpn.dev/spec-hash"]
    assert made == {
        "labels": {
            "team": "home",
            "app.kubernetes.io/name": "web",
            "app.kubernetes.io/managed-by": "piavpn-operator",
            "piavpn.dev/service": "web",
            "piavpn.dev/vpn": "home",
        },
        "annotations": {
            "kubectl.kubernetes.io/default-container": "app",
            "a": "1",
            "b": "2",
            "piavpn.dev/address": "10.100.0.10",
        },
    }


def test_a_template_is_merged_over_the_generated_one() -> None:
    template = pods.Template(
        spec={
            "terminationGracePeriodSeconds": 60,
            "containers": [
                {"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
                {"name": "beside", "image": "busybox"},
            ],
            "initContainers": [{"name": "before", "image": "busybox"}],
        }
    )
    hardened = {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["NET_RAW"]},
        }
    }
    assert pod_of(template=template)["spec"] == POD_SPEC | {
        "terminationGracePeriodSeconds": 60,
        "initContainers": [GATE, {"name": "before", "image": "busybox"} | hardened],
        "containers": [
            APP | {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
            {"name": "beside", "image": "busybox"} | hardened,
        ],
    }


def test_a_service_can_be_a_load_balancer_s() -> None:
    options = pods.ServiceOptions(
        type=pods.ServiceType.LOAD_BALANCER,
        annotations={"metallb.io/address-pool": "home"},
        load_balancer_ip="192.168.1.40",
        external_traffic_policy=pods.ExternalTrafficPolicy.LOCAL,
    )
    made = build_service.cluster_service(specified(service=options))
    assert made is not None
    assert made["metadata"]["annotations"] == {"metallb.io/address-pool": "home"}
    assert made["spec"] == {
        "type": "LoadBalancer",
        "loadBalancerIP": "192.168.1.40",
        "externalTrafficPolicy": "Local",
        "selector": {"piavpn.dev/service": "web"},
        "ports": [{"name": "web", "port": 8080, "targetPort": 8080, "protocol": "TCP"}],
    }


REPLACES: dict[str, Any] = {
    "args": ("other",),
    "command": ("other",),
    "env": (pods.EnvVar("A", "1"),),
    "env_from": (pods.EnvFrom(secret_ref=pods.SecretRef("all")),),
    "image": "busybox:2",
    "image_pull_policy": vpnapps.ImagePullPolicy.ALWAYS,
    "liveness_probe": PROBE,
    "mounts": (pods.Mount("/config", size="2Gi"),),
    "on_exit_address_changed": vpnapps.OnExitAddressChanged("true"),
    "on_port_forwarded": vpnapps.OnPortForwarded(script="true"),
    "pod_annotations": {"a": "1"},
    "pod_labels": {"a": "1"},
    "ports": (vpnapps.ServicePort("web", 8081),),
    "readiness_probe": PROBE,
    "receive_forwarded_port": vpnapps.ReceiveForwardedPort(),
    "resources": {"limits": {"memory": "1Gi"}},
    "security_context": {"runAsUser": 1000},
    "startup_probe": PROBE,
    "template": pods.Template(spec={"terminationGracePeriodSeconds": 60}),
    "time_zone": "Europe/Zurich",
    "vpn_ref": vpnapps.VpnRef("downloads"),
}
LEAVES: dict[str, Any] = {
    "bypass_cidrs": (ipaddress.IPv4Network("192.168.7.0/24"),),
    "ip": IP("10.100.0.10"),  # the address that it has
    "service": pods.ServiceOptions(type=pods.ServiceType.NODE_PORT),
    "suspend": True,
}


def test_each_field_of_a_spec_either_replaces_the_pod_or_does_not() -> None:
    fields = {field.name for field in dataclasses.fields(vpnapps.VpnServiceContainerSpec)}
    assert fields == REPLACES.keys() | LEAVES.keys()


@pytest.mark.parametrize("field", REPLACES)
def test_a_change_replaces_the_pod(field: str) -> None:
    assert spec_hash(built(specified(**{field: REPLACES[field]}))) != spec_hash(built(service()))


@pytest.mark.parametrize("field", LEAVES)
def test_a_change_acts_without_a_new_pod(field: str) -> None:
    assert spec_hash(built(specified(**{field: LEAVES[field]}))) == spec_hash(built(service()))


def test_a_larger_claim_replaces_no_pod() -> None:
    small = specified(mounts=(pods.Mount("/config", size="1Gi"),))
    large = specified(mounts=(pods.Mount("/config", size="2Gi"),))
    assert spec_hash(built(large)) == spec_hash(built(small))


def test_another_cluster_domain_replaces_the_pod() -> None:
    other = dataclasses.replace(SETTINGS, cluster_domain="k8s.home")
    made = build_service.stateful_set(service(), IP("10.100.0.10"), NETWORK, other)
    assert spec_hash(made) != spec_hash(built(service()))


def test_an_operator_that_builds_pods_in_another_way_replaces_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = built(service())
    monkeypatch.setattr("piavpn.controller.build_hooks.APP", "main")  # as of another version
    after = built(service())
    assert after["spec"]["template"]["spec"] != before["spec"]["template"]["spec"]
    assert spec_hash(after) == spec_hash(before)


def test_a_default_that_was_filled_in_replaces_none() -> None:
    spec = {"vpnRef": {"name": "home"}, "image": "busybox", "ports": [{"name": "w", "port": 80}]}
    filled = spec | {
        "ports": [{"name": "w", "port": 80, "protocol": "TCP"}],
        "mounts": [],
        "suspend": False,
    }
    metadata = {"name": "a", "namespace": "media", "creationTimestamp": "2026-11-23T11:00:00Z"}
    hashes = {
        spec_hash(
            built(vpnapps.VpnServiceContainer.from_body({"metadata": metadata, "spec": each}))
        )
        for each in (spec, filled)
    }
    assert len(hashes) == 1
