"""The examples are what an API server takes, and each app names a tunnel that comes with it."""

from pathlib import Path
from typing import Any

import crd_schema
import pytest
import yaml

from piavpn.api import names, piavpns, vpnapps

EXAMPLES = sorted(
    path.parent for path in crd_schema.ROOT.glob("manifests/examples/*/kustomization.yaml")
)
PLURAL_OF = {"PiaVpn": "piavpns", "VpnServiceContainer": "vpnservicecontainers"}


def objects(example: Path) -> list[dict[str, Any]]:
    resources = yaml.safe_load((example / "kustomization.yaml").read_text())["resources"]
    return [body for name in resources for body in yaml.safe_load_all((example / name).read_text())]


def of_kind(example: Path, kind: str) -> list[dict[str, Any]]:
    return [body for body in objects(example) if body["kind"] == kind]


def vpns(example: Path) -> list[piavpns.PiaVpn]:
    return [piavpns.PiaVpn.from_body(body) for body in of_kind(example, "PiaVpn")]


def services(example: Path) -> list[vpnapps.VpnServiceContainer]:
    created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    return [
        vpnapps.VpnServiceContainer.from_body(body | {"metadata": body["metadata"] | created})
        for body in of_kind(example, "VpnServiceContainer")
    ]


def test_there_are_examples_of_one_app_of_two_of_a_forwarded_port_and_of_all_an_app_needs() -> None:
    counted = {example.name: len(services(example)) for example in EXAMPLES}
    assert counted == {
        "forwarded-port": 1,
        "labelled-deployment": 0,
        "media-stack": 3,
        "single-app": 1,
        "two-apps": 2,
        "whole-app": 1,
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_breaks_no_rule_of_the_schema(example: Path) -> None:
    for body in objects(example):
        if body["kind"] in PLURAL_OF:
            assert body["apiVersion"] == names.API_VERSION
            assert crd_schema.problems(body, crd_schema.schema(PLURAL_OF[body["kind"]])) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_brings_the_namespaces_and_tunnels_that_its_apps_name(example: Path) -> None:
    namespaces = {body["metadata"]["name"] for body in of_kind(example, "Namespace")}
    tunnels = {vpn.name for vpn in vpns(example)}
    for service in services(example):
        assert service.namespace in namespaces
        assert service.spec.vpn_ref.name in tunnels


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_a_fixed_address_of_an_example_lies_in_its_tunnel_s_subnet(example: Path) -> None:
    subnets = {vpn.name: vpn.spec.network.subnet for vpn in vpns(example)}
    for service in services(example):
        if service.spec.ip is not None:
            subnet = subnets[service.spec.vpn_ref.name]
            assert subnet is not None
            assert service.spec.ip in subnet


def test_the_examples_can_live_in_one_cluster_together() -> None:
    everything = [
        (body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"])
        for example in EXAMPLES
        for body in objects(example)
    ]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"adress": "10.100.0.10"}, ".spec.adress: unknown field"),
        ({"image": 7}, ".spec.image: is no string"),
        ({"image": ""}, ".spec.image: breaks minLength 1"),
        (
            {"imagePullPolicy": "Sometimes"},
            ".spec.imagePullPolicy: breaks enum ['Always', 'IfNotPresent', 'Never']",
        ),
        ({"ports": [{"name": "web"}]}, ".spec.ports[0].port: required"),
        ({"ports": [{"name": "web", "port": 0}]}, ".spec.ports[0].port: breaks minimum 1"),
        (
            {"ports": [{"name": "web", "port": 80}, {"name": "web", "port": 81}]},
            ".spec.ports: breaks x-kubernetes-list-map-keys ['name']",
        ),
    ],
)
def test_the_check_sees_what_an_api_server_would_refuse(
    change: dict[str, Any], expected: str
) -> None:
    (body,) = of_kind(EXAMPLES[0], "VpnServiceContainer")
    broken = body | {"spec": body["spec"] | change}
    schema = crd_schema.schema("vpnservicecontainers")
    assert crd_schema.problems(broken, schema) == [expected]
