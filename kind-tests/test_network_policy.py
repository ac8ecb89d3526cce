"""An app's NetworkPolicy comes and goes with the app."""

from __future__ import annotations

import ipaddress

from harness import kubectl, manifests, probes, waiting


def test_an_app_has_a_policy_for_as_long_as_it_is_there(steady: probes.Tunnel) -> None:
    name, namespace = "piavpn-policed", steady.app.namespace
    app = manifests.app("policed", namespace, steady.vpn)
    kubectl.apply(app)
    try:
        policy = waiting.eventually(
            lambda: kubectl.get("networkpolicy", name, namespace), "the policy is there"
        )
        assert policy is not None
        (rule,) = policy["spec"]["egress"]
        allowed = [
            ipaddress.IPv4Network(peer["ipBlock"]["cidr"])
            for peer in rule["to"]
            if "ipBlock" in peer
        ]
        for address in _addresses_of_nodes():
            assert any(address in network for network in allowed), (address, allowed)
        kubectl.wait_for("vpnapp", "policed", "Ready", namespace)
    finally:
        kubectl.delete(app)
    waiting.eventually(
        lambda: kubectl.get("networkpolicy", name, namespace) is None, "the policy is gone"
    )


def _addresses_of_nodes() -> list[ipaddress.IPv4Address]:
    return [
        ipaddress.IPv4Address(told["address"])
        for node in kubectl.items("nodes")
        for told in node["status"]["addresses"]
        if told["type"] == "InternalIP" and ":" not in told["address"]
    ]
