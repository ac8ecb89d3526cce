"""An app's NetworkPolicy, written out by hand as `kubectl get -o yaml` would show it."""

from __future__ import annotations

import dataclasses

from controller_samples import CLUSTER_CIDRS, IP, NET, service, vpn

from piavpn.controller import build_policy


def test_an_app_may_reach_the_cluster_and_its_nodes_but_no_resolver() -> None:
    nodes = (IP("172.18.0.2"), IP("172.18.0.3"), IP("192.168.1.9"))
    assert build_policy.network_policy(service(), CLUSTER_CIDRS, nodes) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "piavpn-web",
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
        },
        "spec": {
            "podSelector": {"matchLabels": {"piavpn.dev/service": "web"}},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [
                        {"namespaceSelector": {}},
                        {"ipBlock": {"cidr": "10.96.0.0/16"}},
                        {"ipBlock": {"cidr": "10.244.0.0/16"}},
                        {"ipBlock": {"cidr": "172.18.0.2/31"}},
                        {"ipBlock": {"cidr": "192.168.1.9/32"}},
                    ],
                    "ports": [
                        {"protocol": "TCP", "port": 1, "endPort": 52},
                        {"protocol": "TCP", "port": 54, "endPort": 852},
                        {"protocol": "TCP", "port": 854, "endPort": 65535},
                        {"protocol": "UDP", "port": 1, "endPort": 52},
                        {"protocol": "UDP", "port": 54, "endPort": 852},
                        {"protocol": "UDP", "port": 854, "endPort": 65535},
                    ],
                }
            ],
        },
    }


def test_an_app_may_reach_what_bypasses_the_tunnel() -> None:
    app = service()
    own = dataclasses.replace(app.spec, bypass_cidrs=(NET("192.168.7.9/32"),))
    policy = build_policy.network_policy(
        dataclasses.replace(app, spec=own), CLUSTER_CIDRS, (), (NET("192.168.1.0/24"),)
    )
    (rule,) = policy["spec"]["egress"]
    assert rule["to"][-2:] == [
        {"ipBlock": {"cidr": "192.168.1.0/24"}},
        {"ipBlock": {"cidr": "192.168.7.9/32"}},
    ]


def test_a_namespaces_labelled_pods_may_reach_the_same_and_have_one_policy() -> None:
    app = build_policy.network_policy(service(), CLUSTER_CIDRS, (IP("172.18.0.2"),))
    assert build_policy.for_labelled_pods(vpn(), "media", CLUSTER_CIDRS, (IP("172.18.0.2"),)) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "piavpn.home",
            "namespace": "media",
            "labels": {
                "app.kubernetes.io/managed-by": "piavpn-operator",
                "piavpn.dev/vpn": "home",
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
        },
        "spec": {
            "podSelector": {
                "matchLabels": {"piavpn.dev/vpn": "home"},
                "matchExpressions": [{"key": "piavpn.dev/service", "operator": "DoesNotExist"}],
            },
            "policyTypes": ["Egress"],
            "egress": app["spec"]["egress"],
        },
    }
