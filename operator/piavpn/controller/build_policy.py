"""An app's NetworkPolicy: what its lock allows, told to CNI plugins that enforce policies.

Nothing relies on it: many plugins enforce none. Pure.

It limits egress by the cluster's link alone: `vpn0` is none of the CNI plugin's, and replies pass
by connection tracking. It says nothing of ingress: a policy that allows all would open what another
policy of the namespace closes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from piavpn.api import names, piavpns, vpnapps
from piavpn.controller import build_gateway, build_service, model

# All but DNS (53) and DNS over TLS (853), which go to the gateway: the cluster's resolver would ask
# for Internet names outside of the tunnel.
_PORTS = ((1, 52), (54, 852), (854, 65535))


def network_policy(
    service: vpnapps.VpnServiceContainer,
    cluster: Iterable[ipaddress.IPv4Network],
    nodes: Iterable[ipaddress.IPv4Address],
    bypass: Iterable[ipaddress.IPv4Network] = (),
) -> model.Object:
    """Return the app's NetworkPolicy.

    Args:
        service: the app.
        cluster: the ranges of the cluster's pods and Services.
        nodes: the nodes' own addresses. All of them: plugins look at a packet after its Service's
            address was translated, and any node may be what a Service leads to, as the API server
            or a pod on the node's network. Their number is the cluster's nodes' at most.
        bypass: what all apps of the PiaVpn reach past the tunnel.
    """
    past = (*bypass, *service.spec.bypass_cidrs)
    return _policy(
        build_service.metadata(service, f"piavpn-{service.name}"),
        {"matchLabels": {names.LABEL_SERVICE: service.name}},
        _networks(cluster, nodes, past),
    )


def for_labelled_pods(
    vpn: piavpns.PiaVpn,
    namespace: str,
    cluster: Iterable[ipaddress.IPv4Network],
    nodes: Iterable[ipaddress.IPv4Address],
) -> model.Object:
    """Return the NetworkPolicy of all labelled pods of the VPN in a namespace.

    Args:
        vpn: the VPN.
        namespace: the pods'.
        cluster: the ranges of the cluster's pods and Services.
        nodes: the nodes' own addresses.
    """
    metadata = build_gateway.metadata(vpn, namespace) | {
        "name": names.labelled_pods_name(vpn.name),
        "labels": {
            "app.kubernetes.io/managed-by": "piavpn-operator",
            names.LABEL_VPN: vpn.name,
        },
    }
    selector = {
        "matchLabels": {names.LABEL_VPN: vpn.name},
        "matchExpressions": [{"key": names.LABEL_SERVICE, "operator": "DoesNotExist"}],
    }
    return _policy(metadata, selector, _networks(cluster, nodes, vpn.spec.bypass_cidrs))


def _networks(
    cluster: Iterable[ipaddress.IPv4Network],
    nodes: Iterable[ipaddress.IPv4Address],
    bypass: Iterable[ipaddress.IPv4Network],
) -> tuple[ipaddress.IPv4Network, ...]:
    own = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, nodes))
    return (*sorted(cluster), *own, *ipaddress.collapse_addresses(bypass))


def _policy(
    metadata: model.Object, pods: model.Object, networks: Iterable[ipaddress.IPv4Network]
) -> model.Object:
    blocks = [{"ipBlock": {"cidr": str(network)}} for network in networks]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Egress"],
            "egress": [
                {
                    # Cilium takes an ipBlock for no pod.
                    "to": [{"namespaceSelector": {}}, *blocks],
                    "ports": [
                        {"protocol": protocol, "port": first, "endPort": last}
                        for protocol in ("TCP", "UDP")
                        for first, last in _PORTS
                    ],
                }
            ],
        },
    }
