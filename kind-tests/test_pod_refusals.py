"""What the API server refuses of an app's pod, and the words in which it does."""

from typing import Any

import pytest

from harness import kubectl
from test_schema_refusals import app, tried

PORTS = [{"name": "web", "port": 8080}]

REFUSED = [
    (app(env=[{"name": "A", "valueFrom": {}}]), "must have exactly one of secretKeyRef"),
    (
        app(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]),
        "must not have both value and valueFrom",
    ),
    (
        app(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "kex": "k"}}}]),
        'unknown field "spec.env[0].valueFrom.secretKeyRef.kex"',
    ),
    (app(envFrom=[{}]), "must have either secretRef or configMapRef"),
    (app(envFrom=[{"secretRef": {"name": "S"}}]), "must be the name of a Secret"),
    (app(timeZone="my home"), "must be the name of a time zone"),
    (
        app(timeZone="UTC", env=[{"name": "TZ", "value": "UTC"}]),
        "must not stand beside a variable TZ in env",
    ),
    (app(service={"type": "NodePort"}), "needs ports, without which there is no Service"),
    (
        app(ports=PORTS, service={"loadBalancerIP": "192.168.1.40"}),
        "loadBalancerIP and loadBalancerClass need type LoadBalancer",
    ),
    (
        app(ports=PORTS, service={"type": "LoadBalancer", "loadBalancerIP": "my.example"}),
        "must be an IP address",
    ),
    (
        app(ports=PORTS, service={"externalTrafficPolicy": "Local"}),
        "externalTrafficPolicy needs type NodePort or LoadBalancer",
    ),
    (app(mounts=[{"path": "/a"}]), "must have exactly one source"),
    (app(mounts=[{"path": "/a", "size": "1Gi", "emptyDir": {}}]), "must have exactly one source"),
    (app(mounts=[{"path": "/a", "size": "much"}]), "must be a quantity of storage"),
    (app(mounts=[{"path": "/a", "size": "-1Gi"}]), "must be a quantity of storage"),
    (
        app(mounts=[{"path": "/a", "emptyDir": {}, "storageClassName": "fast"}]),
        "storageClassName needs size",
    ),
    (
        app(mounts=[{"path": "/a", "emptyDir": {}}, {"path": "/a", "size": "1Gi"}]),
        "Duplicate value",
    ),
    *(
        (app(mounts=[{"path": path, "emptyDir": {}}]), "must be an absolute path other than /")
        for path in ("config", "/config/", "/a/../b", "/a:b", "//a", "/a/.")
    ),
    *(
        (app(mounts=[{"path": path, "emptyDir": {}}]), "must not be in /run/piavpn")
        for path in ("/run/piavpn", "/run/piavpn/forwarded-port")
    ),
    (
        app(mounts=[{"path": "/a", "subPath": "../b", "emptyDir": {}}]),
        'must be a relative path without ".."',
    ),
    (
        app(mounts=[{"path": "/a", "nfs": {"server": "nas.lan", "path": "volume1"}}]),
        "must be an absolute path",
    ),
    (
        app(mounts=[{"path": "/a", "hostPath": {"path": "/a", "type": "Folder"}}]),
        'Unsupported value: "Folder"',
    ),
    (app(livenessProbe={}), "must have exactly one of httpGet, tcpSocket, exec and grpc"),
    (
        app(readinessProbe={"httpGet": {"port": "web"}, "periodSecond": 1}),
        'unknown field "spec.readinessProbe.periodSecond"',
    ),
    (app(resources={"limits": {"memory": "a lot"}}), "spec.resources.limits"),
    (app(resources={"limit": {"memory": "1Gi"}}), 'unknown field "spec.resources.limit"'),
    (app(securityContext={"privileged": True}), "a privileged container undoes any lock"),
    *(
        (
            app(securityContext={"capabilities": {"add": [capability]}}),
            "must not be one that undoes the lock",
        )
        for capability in ("NET_ADMIN", "NET_RAW", "SYS_ADMIN", "ALL")
    ),
    *(
        (
            app(securityContext={"capabilities": {"add": [capability]}}),
            "must be the name of a capability in capitals, without CAP_",
        )
        for capability in ("net_admin", "CAP_NET_ADMIN")
    ),
    (app(podLabels={"piavpn.dev/vpn": "other"}), "these are the operator's own"),
    (app(podAnnotations={"piavpn.dev/address": "10.0.0.1"}), "these are the operator's own"),
    (
        app(template={"metadata": {"labels": {"piavpn.dev/vpn": "other"}}}),
        "these are the operator's own",
    ),
    (app(template={"sepc": {}}), 'unknown field "spec.template.sepc"'),
    (app(template={"spec": {"containers": [{"image": "a"}]}}), "containers[0].name: Required"),
    (app(template={"spec": {"containers": "app"}}), "must be of type array"),
    (app(suspend="yes"), "must be of type boolean"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_a_mistake_is_refused_in_words_that_say_what_is_wrong(
    body: dict[str, Any], words: str
) -> None:
    with pytest.raises(kubectl.KubectlError) as refusal:
        tried(body)
    assert words in str(refusal.value)
    assert "evaluating rule" not in str(refusal.value)  # a rule itself went wrong


def test_what_is_meant_so_is_taken() -> None:
    body = app(
        ports=PORTS,
        service={"type": "LoadBalancer", "loadBalancerIP": "192.168.1.40"},
        securityContext={"runAsUser": 0, "capabilities": {"add": ["SYS_NICE"]}},
        resources={"limits": {"cpu": 1, "memory": "1Gi", "gpu.example/card": "2"}},
        livenessProbe={"grpc": {"port": 8080}},
        mounts=[
            {"path": "/etc/app.d/x.conf", "subPath": "a/x", "configMap": {"name": "c"}},
            {"path": "/run/piavpn-of-mine", "hostPath": {"path": "/srv", "type": ""}},
            {"path": "/m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
        template={"spec": {"hostAliases": [{"ip": "192.168.1.2", "hostnames": ["nas"]}]}},
    )
    assert tried(body)["metadata"]["name"] == body["metadata"]["name"]


def test_a_template_is_kept_as_it_was_written_null_and_all() -> None:
    template = {"spec": {"priority": None, "containers": [{"name": "app", "lifecycle": {}}]}}
    assert tried(app(template=template))["spec"]["template"] == template
