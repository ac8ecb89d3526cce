"""A user's pod template: what is taken of it and what is refused, by the name of the field."""

from __future__ import annotations

from typing import Any

import pytest
from controller_samples import NETWORK, SETTINGS
from test_controller_build_service import ADDRESS, APP, GATE, POD_SPEC, specified

from piavpn.api import pods
from piavpn.controller import build_service, templates

OURS = POD_SPEC["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]


def merged(**over: Any) -> dict[str, Any]:
    return templates.merged(POD_SPEC, over)


def test_an_empty_template_changes_nothing() -> None:
    assert merged() == POD_SPEC


def test_items_are_merged_by_what_tells_them_apart_and_other_lists_are_replaced() -> None:
    base = POD_SPEC | {
        "containers": [
            APP
            | {
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
                "args": ["one", "two"],
                "volumeMounts": [{"name": "mount-data", "mountPath": "/data"}],
            }
        ]
    }
    over = {
        "name": "app",
        "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "args": ["three"],
        "ports": [
            {"containerPort": 8080, "hostPort": 80},
            {"containerPort": 8080, "protocol": "UDP"},
        ],
        "volumeMounts": [
            {"name": "mount-data", "mountPath": "/data", "mountPropagation": "HostToContainer"}
        ],
    }
    (app,) = templates.merged(base, {"containers": [over]})["containers"]
    assert app == APP | {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "2"},
            {"name": "C", "value": "3"},
        ],
        "args": ["three"],
        "ports": [
            {"name": "web", "containerPort": 8080, "protocol": "TCP", "hostPort": 80},
            {"containerPort": 8080, "protocol": "UDP"},
        ],
        "volumeMounts": [
            {"name": "mount-data", "mountPath": "/data", "mountPropagation": "HostToContainer"}
        ],
    }


def test_null_takes_a_field_away() -> None:
    assert "ports" not in merged(containers=[{"name": "app", "ports": None}])["containers"][0]


def test_the_generated_pod_stays_as_it_was() -> None:
    merged(containers=[{"name": "app", "securityContext": {"runAsUser": 1}}])
    assert "runAsUser" not in APP["securityContext"]


def test_init_containers_come_after_the_gate_in_their_own_order() -> None:
    found = merged(initContainers=[{"name": "b"}, {"name": "a"}])["initContainers"]
    assert [container["name"] for container in found] == ["piavpn-gate", "b", "a"]
    assert found[0] == GATE


def test_no_container_has_net_raw_whatever_it_says() -> None:
    said = {
        "app": {"securityContext": None},
        "none": {},
        "some": {"securityContext": {"capabilities": {"drop": ["CHOWN"]}}},
        "all": {"securityContext": {"capabilities": {"drop": ["ALL"]}}},
    }
    found = merged(containers=[{"name": name} | rest for name, rest in said.items()])
    dropped = {
        each["name"]: each["securityContext"]["capabilities"]["drop"]
        for each in found["containers"]
    }
    assert dropped == {
        "app": ["NET_RAW"],
        "none": ["NET_RAW"],
        "some": ["CHOWN", "NET_RAW"],
        "all": ["ALL"],
    }


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        ({"podAffinity": None}, {}),
        (
            {
                "nodeAffinity": {"preferred": []},
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]
                },
            },
            {
                "nodeAffinity": {"preferred": []},
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": OURS,
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}],
                },
            },
        ),
        (
            {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        ),
    ],
    ids=["no pods", "more", "another wish"],
)
def test_a_user_says_where_an_app_may_be(affinity: Any, expected: Any) -> None:
    assert merged(affinity=affinity)["affinity"] == expected


def test_an_app_need_not_be_near_its_gateway() -> None:
    assert "affinity" not in merged(affinity=None)


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"hostNetwork": True}, "spec.template.spec.hostNetwork shares what is the node's own"),
        ({"hostPID": True}, "spec.template.spec.hostPID shares what is the node's own"),
        ({"hostIPC": True}, "spec.template.spec.hostIPC shares what is the node's own"),
        (
            {"dnsPolicy": "ClusterFirst"},
            "spec.template.spec.dnsPolicy is the operator's: an app asks its gateway alone",
        ),
        (
            {"dnsConfig": None},
            "spec.template.spec.dnsConfig is the operator's: an app asks its gateway alone",
        ),
        (
            {"nodeName": "n1"},
            "spec.template.spec.nodeName is the operator's: use nodeSelector or affinity",
        ),
        (
            {"ephemeralContainers": []},
            "spec.template.spec.ephemeralContainers is the operator's: no template has them",
        ),
        (
            {"initContainers": [{"name": "piavpn-gate", "command": ["true"]}]},
            "spec.template.spec.initContainers: the name piavpn-gate is the operator's",
        ),
        ({"initContainers": None}, "spec.template.spec.initContainers must not be null"),
        ({"containers": None}, "spec.template.spec.containers must not be null"),
        (
            {"containers": [{"name": "piavpn-port-hook", "image": "other"}]},
            "spec.template.spec.containers: the name piavpn-port-hook is the operator's",
        ),
        (
            {"volumes": [{"name": "piavpn", "emptyDir": {}}]},
            "spec.template.spec.volumes: the name piavpn is the operator's",
        ),
        (
            {"containers": [{"name": "app", "securityContext": {"privileged": True}}]},
            (
                "spec.template.spec.containers, container app: "
                "securityContext.privileged undoes any lock"
            ),
        ),
        (
            {
                "initContainers": [
                    {
                        "name": "tune",
                        "securityContext": {"capabilities": {"add": ["CAP_NET_ADMIN"]}},
                    }
                ]
            },
            (
                "spec.template.spec.initContainers, container tune: "
                "securityContext.capabilities.add has NET_ADMIN"
            ),
        ),
        (
            {"volumes": [{"name": "all", "hostPath": {"path": "/"}}]},
            "spec.template.spec.volumes, volume all: hostPath / opens the whole node",
        ),
        (
            {"containers": [{"name": "app", "env": ["TZ"]}]},
            "spec.template.spec.containers.env: each item needs name",
        ),
    ],
)
def test_what_would_break_the_promise_is_refused_by_name(over: dict[str, Any], told: str) -> None:
    app = specified(template=pods.Template(spec=over), env=(pods.EnvVar("A"),))
    assert build_service.refusal(app, ADDRESS, NETWORK, SETTINGS) == told


def test_what_does_not_is_not() -> None:
    spec = {
        "serviceAccountName": "web",
        "automountServiceAccountToken": True,
        "shareProcessNamespace": True,
        "hostNetwork": False,
        "initContainers": [{"name": "beside", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "securityContext": {"capabilities": {"add": ["CHOWN"]}}}],
    }
    app = specified(template=pods.Template(spec=spec))
    assert build_service.refusal(app, ADDRESS, NETWORK, SETTINGS) == ""
