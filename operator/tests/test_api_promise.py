"""What a pod's spec may say where the pod is to be confined, and what not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pod_specs
import pytest
from controller_samples import IP, NETWORK, SETTINGS, service
from pod_specs import confined, container, with_capabilities

from piavpn.api import promise, vpnapps
from piavpn.controller import build_service

HOOKS: dict[str, Any] = {
    "receive_forwarded_port": vpnapps.ReceiveForwardedPort(),
    "on_port_forwarded": vpnapps.OnPortForwarded(script="curl localhost:9091/$PORT"),
}


@pytest.mark.parametrize("with_hooks", [{}, HOOKS], ids=["plain", "hooks"])
def test_a_pod_as_the_operator_makes_it_keeps_the_promise(with_hooks: dict[str, Any]) -> None:
    app = service()
    app = dataclasses.replace(app, spec=dataclasses.replace(app.spec, **with_hooks))
    made = build_service.stateful_set(app, IP("10.100.0.10"), NETWORK, SETTINGS)
    spec = made["spec"]["template"]["spec"]
    assert promise.breach(spec) == ""
    assert promise.name_servers(spec) == ("10.100.0.2",)


@pytest.mark.parametrize("allowed", pod_specs.ALLOWED.values(), ids=pod_specs.ALLOWED.keys())
def test_what_opens_no_way_out_is_allowed(allowed: dict[str, Any]) -> None:
    assert promise.breach(confined(**allowed)) == ""


@pytest.mark.parametrize(("change", "told"), pod_specs.REFUSED)
def test_what_undoes_the_lock_or_the_gate_is_named(change: dict[str, Any], told: str) -> None:
    assert promise.breach(confined(**change)) == told


@pytest.mark.parametrize(("added", "told"), pod_specs.POWERS)
def test_powers_that_lead_past_the_lock_are_named(added: list[str], told: str) -> None:
    spec = confined(containers=[with_capabilities(*added)])
    assert promise.breach(spec) == (
        f"spec.containers, container other: securityContext.capabilities.add has {told}"
    )


@pytest.mark.parametrize("path", pod_specs.KEYS_TO_THE_NODE)
def test_a_path_of_the_node_that_opens_all_of_it_is_named(path: str) -> None:
    spec = confined(volumes=[{"name": "host", "hostPath": {"path": path}}])
    assert promise.breach(spec) == (
        f"spec.volumes, volume host: hostPath {path} opens the whole node"
    )


@pytest.mark.parametrize("path", pod_specs.OTHER_PATHS)
def test_any_other_path_of_the_node_may_be_mounted(path: str) -> None:
    assert promise.breach(confined(volumes=[{"name": "a", "hostPath": {"path": path}}])) == ""


@pytest.mark.parametrize("dropped", ["ALL", "NET_RAW", "CAP_NET_RAW", "net_raw"])
def test_net_raw_is_dropped_in_whatever_spelling(dropped: str) -> None:
    spec = confined(containers=[container(capabilities={"drop": [dropped]})])
    assert promise.breach(spec) == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("10.100.0.2",)),
        ({"dnsPolicy": "ClusterFirst"}, ()),
        ({"dnsPolicy": None}, ()),
        ({"dnsConfig": None}, ()),
        ({"dnsConfig": {"nameservers": ["10.100.0.2", "1.1.1.1"]}}, ("10.100.0.2", "1.1.1.1")),
    ],
)
def test_a_pods_name_servers_are_known_where_the_kubelet_adds_none(
    change: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert promise.name_servers(confined(**change)) == expected
