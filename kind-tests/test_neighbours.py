"""Apps on one bridge can neither reach nor harm each other, the gateway or the node."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness import judge, kubectl, leaky, manifests, nodes, probes, product, programs, waiting

pytestmark = pytest.mark.owns_nodes

_KUBELET, _PROXY = 10250, 8888
_CONNECT = """
import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close(); print("connected")
except OSError as e: print("failed:", e)
"""


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel whose app transfers all the time."""
    with probes.tunnel("street", location="swiss", command=leaky.command()) as made:
        yield made


@pytest.fixture(scope="module")
def neighbour(tunnel: probes.Tunnel) -> probes.Pod:
    """Return a second app behind the same tunnel."""
    kubectl.apply(manifests.app("neighbour", tunnel.app.namespace, tunnel.vpn))
    kubectl.wait_for("vpnapp", "neighbour", "Ready", tunnel.app.namespace)
    return probes.Pod("neighbour-0", tunnel.app.namespace)


def test_raw_sockets_on_the_bridge_cannot_take_anothers_place(
    tunnel: probes.Tunnel, neighbour: probes.Pod, leaks: judge.Judge
) -> None:
    victim, gateway = _bridge_address("probe", tunnel), tunnel.status()["network"]["gatewayAddress"]
    app = leaky.Leaky.in_pod(tunnel.app)
    with leaks.nothing_leaves(tunnel.ordinary):
        before, dropped, known = app.told(), _dropped(app.node), _who_is(tunnel, victim)
        sent = product.python_in_network_of(
            neighbour,
            programs.text("spoofing"),
            victim, _mac(tunnel.app), gateway, _mac(tunnel.gateway), probes.WHO_AM_I,
        )  # fmt: skip
        assert _dropped(app.node) - dropped == int(sent) > 0
        app.wait_for_answers()
        assert _who_is(tunnel, victim) == known == _mac(tunnel.app)
        assert app.told().broken == before.broken


def test_an_app_cannot_connect_to_another_by_the_bridge(
    tunnel: probes.Tunnel, neighbour: probes.Pod
) -> None:
    victim = _bridge_address("probe", tunnel)

    assert _connect(neighbour, victim, leaky.PORT).startswith("failed")
    assert nodes.run(tunnel.app.node, "curl", "--silent", f"http://{victim}:{leaky.PORT}/")


def test_an_app_can_use_neither_the_bootstrap_proxy_nor_a_port_of_the_node(
    tunnel: probes.Tunnel,
) -> None:
    bridge = tunnel.status()["network"]["hostAddress"]
    node = nodes.address_of(tunnel.app.node)

    assert _connect(tunnel.gateway, bridge, _PROXY) == "connected"
    assert _connect(tunnel.app, bridge, _PROXY).startswith("failed")
    assert _connect(tunnel.ordinary, node, _KUBELET) == "connected"
    for address in (bridge, node):
        assert _connect(tunnel.app, address, _KUBELET).startswith("failed")


def test_a_service_whose_endpoint_lies_outside_the_cluster_is_no_way_out(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    namespace = tunnel.app.namespace
    port = {"name": "http", "port": 80, "protocol": "TCP"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "outside", "namespace": namespace},
        "spec": {"ports": [port]},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "outside",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": "outside"},
        },
        "addressType": "IPv4",
        "ports": [port],
        "endpoints": [{"addresses": [probes.WHO_AM_I]}],
    }
    kubectl.apply(service, endpoints)
    address = kubectl.items("services", "-n", namespace)[0]["spec"]["clusterIP"]
    waiting.eventually(
        lambda: not tunnel.ordinary.tcp(address).startswith("failed"),
        "an ordinary pod gets out by the Service",
    )

    with leaks.nothing_leaves(tunnel.ordinary):
        assert tunnel.app.tcp(address).startswith("failed")
        assert tunnel.app.tcp(address, device="eth0").startswith("failed")


def _connect(pod: probes.Pod, address: str, port: int) -> str:
    return pod.python(_CONNECT, address, str(port))


def _bridge_address(app: str, tunnel: probes.Tunnel) -> str:
    found = kubectl.get("vpnapp", app, tunnel.app.namespace) or {}
    return str(found["status"]["address"])


def _mac(pod: probes.Pod) -> str:
    (link,) = json.loads(_in_namespace_of(pod, "ip", "-json", "link", "show", "vpn0"))
    return str(link["address"])


def _who_is(tunnel: probes.Tunnel, address: str) -> str:
    """Return the MAC address that the gateway knows for an address of the bridge."""
    (entry,) = json.loads(_in_namespace_of(tunnel.gateway, "ip", "-json", "neigh", "show", address))
    return str(entry["lladdr"])


def _dropped(node: str) -> int:
    """Return how many frames the filter on the bridges' ports has dropped as spoofed."""
    listed = nodes.run(node, "nft", "--json", "list", "counters", "table", "bridge", "piavpn_ports")
    counters = [item["counter"] for item in json.loads(listed)["nftables"] if "counter" in item]
    (spoofed,) = (one["packets"] for one in counters if one["name"] == "dropped_spoofed")
    return int(spoofed)


def _in_namespace_of(pod: probes.Pod, *command: str) -> str:
    return nodes.run_in_namespace_of(pod.node, pod.uid, *command)
