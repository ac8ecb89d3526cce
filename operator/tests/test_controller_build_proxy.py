"""The HTTP proxy's objects, written out by hand as `kubectl get -o yaml` would show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_samples import CONFIG, NETWORK, SETTINGS, vpn
from controller_world import GATEWAY, NAMESPACE, World, running

from piavpn import kube
from piavpn.api import piavpns
from piavpn.api.selectors import LabelSelector
from piavpn.controller import build_gateway, build_proxy

PROXY = piavpns.HttpProxy(8888)
PROXYING = dataclasses.replace(
    vpn(),
    spec=dataclasses.replace(
        vpn().spec, http_proxy=PROXY, allowed_namespaces=LabelSelector({"team": "home"})
    ),
)
METADATA = build_gateway.metadata(PROXYING, "piavpn-system")


def test_the_proxy_is_bound_to_the_bridge_and_asks_the_gateway_s_resolver() -> None:
    assert build_proxy.files(PROXY, NETWORK) == {
        "tinyproxy.conf": """\
Port 8888
Bind 10.100.0.2
Timeout 600
MaxClients 100
DisableViaHeader Yes
LogLevel Error
""",
        "proxy-resolv.conf": "nameserver 10.100.0.2\noptions timeout:2 attempts:2\n",
    }


def test_it_runs_beside_the_gateway_without_any_right_as_the_user_that_the_rules_know() -> None:
    made = build_gateway.stateful_set(PROXYING, SETTINGS)["spec"]["template"]["spec"]
    gateway, proxy = made["containers"]
    assert gateway["name"] == "gateway"
    assert proxy == {
        "name": "http-proxy",
        "image": "piavpn:0.1.0",
        "command": ["tinyproxy", "-d", "-c", "/etc/piavpn/proxy/tinyproxy.conf"],
        "ports": [{"name": "http-proxy", "containerPort": 8888, "protocol": "TCP"}],
        "securityContext": {
            "runAsUser": 65533,
            "runAsGroup": 65533,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "volumeMounts": [
            {
                "mountPath": "/etc/piavpn/proxy/tinyproxy.conf",
                "subPath": "tinyproxy.conf",
                "name": "config",
                "readOnly": True,
            },
            {
                "mountPath": "/etc/resolv.conf",
                "subPath": "proxy-resolv.conf",
                "name": "config",
                "readOnly": True,
            },
        ],
    }
    data = build_gateway.config_map(PROXYING, CONFIG, "piavpn-system")["data"]
    assert set(data) == {"config.json", "tinyproxy.conf", "proxy-resolv.conf"}


def test_its_service_leads_to_the_gateway() -> None:
    made = build_proxy.service(PROXYING, PROXY, METADATA)
    assert made["metadata"] == METADATA | {"name": "piavpn-proxy-home"}
    assert made["spec"] == {
        "selector": {"piavpn.dev/gateway": "home"},
        "ports": [{"name": "http-proxy", "port": 8888, "targetPort": 8888, "protocol": "TCP"}],
    }


def test_its_policy_lets_in_pods_of_allowed_namespaces_and_who_asks_for_health() -> None:
    made = build_proxy.network_policy(PROXYING, PROXY, METADATA)
    assert made["metadata"]["name"] == "piavpn-proxy-home"
    assert made["spec"] == {
        "podSelector": {"matchLabels": {"piavpn.dev/gateway": "home"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [
                    {
                        "namespaceSelector": {
                            "matchLabels": {"team": "home"},
                            "matchExpressions": [],
                        }
                    }
                ],
                "ports": [{"protocol": "TCP", "port": 8888}],
            },
            {"ports": [{"protocol": "TCP", "port": 8080}]},
        ],
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.make_tunnel()
        yield world


def test_the_proxy_comes_and_goes_with_the_wish_for_it(world: World) -> None:
    world.vpn(httpProxy={"port": 8889})
    world.pass_over()
    assert (
        world.api.get(kube.SERVICES, "piavpn-proxy-home", NAMESPACE)["spec"]["ports"][0]["port"]
        == 8889
    )
    made = world.api.get(kube.STATEFUL_SETS, GATEWAY, NAMESPACE)["spec"]["template"]["spec"]
    assert [it["name"] for it in made["containers"]] == ["gateway", "http-proxy"]
    world.vpn(httpProxy=None)
    world.pass_over()
    for kind in (kube.SERVICES, kube.NETWORK_POLICIES):
        assert "piavpn-proxy-home" not in world.names_of(kind)
