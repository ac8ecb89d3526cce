"""The gateway's HTTP proxy: for apps that send only some requests through the tunnel. Pure.

tinyproxy, in a container of the gateway's pod that holds no capability. It runs as a user of its
own, by which the gateway's rules and routes know its packets: they go by the tunnel or nowhere. It
asks the gateway's resolver, so that names are resolved in the tunnel, too.
"""

from __future__ import annotations

from typing import Any

from piavpn.api import codec, names, piavpns, selectors
from piavpn.controller import model

CONFIGURATION, RESOLVERS = "tinyproxy.conf", "proxy-resolv.conf"
"""Keys of the gateway's ConfigMap."""
_DIRECTORY = "/etc/piavpn/proxy"
_HEALTH_PORT = 8080
_MOST_CLIENTS = 100


def files(proxy: piavpns.HttpProxy, network: piavpns.NetworkStatus) -> dict[str, str]:
    """Return what the container reads.

    Bound to the gateway's address on the bridge, connections stay on their session while another
    one is made: their packets have one source, whichever link they leave by.
    """
    configuration = (
        f"Port {proxy.port}",
        f"Bind {network.gateway_address}",
        "Timeout 600",
        f"MaxClients {_MOST_CLIENTS}",
        "DisableViaHeader Yes",
        "LogLevel Error",  # of other levels, hosts that are visited are part
    )
    return {
        CONFIGURATION: "".join(f"{line}\n" for line in configuration),
        RESOLVERS: f"nameserver {network.gateway_address}\noptions timeout:2 attempts:2\n",
    }


def container(proxy: piavpns.HttpProxy, image: str, volume: str) -> model.Object:
    """Return the container.

    Args:
        proxy: what the user wants.
        image: our own.
        volume: the pod's volume of the gateway's ConfigMap.
    """
    mounted = {"name": volume, "readOnly": True}
    return {
        "name": "http-proxy",
        "image": image,
        "command": ["tinyproxy", "-d", "-c", f"{_DIRECTORY}/{CONFIGURATION}"],
        "ports": [{"name": "http-proxy", "containerPort": proxy.port, "protocol": "TCP"}],
        "securityContext": {
            "runAsUser": names.HTTP_PROXY_USER,
            "runAsGroup": names.HTTP_PROXY_USER,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "volumeMounts": [
            {"mountPath": f"{_DIRECTORY}/{CONFIGURATION}", "subPath": CONFIGURATION, **mounted},
            {"mountPath": "/etc/resolv.conf", "subPath": RESOLVERS, **mounted},
        ],
    }


def service(
    vpn: piavpns.PiaVpn, proxy: piavpns.HttpProxy, metadata: dict[str, Any]
) -> model.Object:
    """Return the Service: without endpoints while the gateway is not ready, its tunnel not up."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata | {"name": names.http_proxy_name(vpn.name)},
        "spec": {
            "selector": {names.LABEL_GATEWAY: vpn.name},
            "ports": [
                {
                    "name": "http-proxy",
                    "port": proxy.port,
                    "targetPort": proxy.port,
                    "protocol": "TCP",
                }
            ],
        },
    }


def network_policy(
    vpn: piavpns.PiaVpn, proxy: piavpns.HttpProxy, metadata: dict[str, Any]
) -> model.Object:
    """Return who may use it, told to CNI plugins that enforce policies: pods of these namespaces.

    The gateway's own health, which the kubelet asks for, stays as open as without the policy.
    """
    selector = codec.encode(vpn.spec.allowed_namespaces or selectors.LabelSelector())
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata | {"name": names.http_proxy_name(vpn.name)},
        "spec": {
            "podSelector": {"matchLabels": {names.LABEL_GATEWAY: vpn.name}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"namespaceSelector": selector}],
                    "ports": [{"protocol": "TCP", "port": proxy.port}],
                },
                {"ports": [{"protocol": "TCP", "port": _HEALTH_PORT}]},
            ],
        },
    }
