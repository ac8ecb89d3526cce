"""An app on another node than its gateway's works as one beside it: outward and inward."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import apart, kubectl, labelled, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

VPN, NAMESPACE, PORT = "distant", "test-distant", 8080


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    gateway_on, _ = apart.places()
    serve = ["python3", "-m", "http.server", str(PORT)]
    ports = [{"name": "web", "port": PORT}]
    receives = {"port": PORT, "protocol": "TCP"}
    with apart.tunnel(
        VPN, gateway_on=gateway_on, command=serve, ports=ports, receiveForwardedPort=receives
    ) as made:
        yield made


def test_it_leaves_by_the_tunnel_by_tcp_udp_and_dns(tunnel: probes.Tunnel) -> None:
    assert tunnel.app.tcp() == tunnel.server_address
    assert tunnel.app.udp() == tunnel.server_address
    assert tunnel.app.resolve("whoami.test") == tunnel.server_address


def test_the_forwarded_port_reaches_it(tunnel: probes.Tunnel, pia: client.Client) -> None:
    kubectl.wait_for("piavpn", VPN, "PortForwarded")

    def answered() -> bool:
        port = tunnel.status()["forwardedPort"]["port"]
        said = pia.connect(tunnel.server_address, port, "tcp", "GET / HTTP/1.0\r\n\r\n")
        assert said is not None, port
        return "200 OK" in said

    waiting.eventually(answered, "its page is seen from the Internet")


def test_its_service_leads_to_it_from_every_node(tunnel: probes.Tunnel) -> None:
    (service,) = kubectl.items("services", "-n", NAMESPACE)
    url = f"http://{service['spec']['clusterIP']}:{PORT}/"
    for node in (tunnel.gateway.node, tunnel.app.node):
        answer = nodes.run(node, "curl", "--silent", "--max-time", "5", "-o", "/dev/null",
                           "--write-out", "%{http_code}", url)  # fmt: skip
        assert answer == "200", node


def test_it_reaches_no_other_app_by_the_bridge(tunnel: probes.Tunnel) -> None:
    """The control is the page: its own node's neighbours have it at the pod's own address."""
    beside = labelled.workload(
        "Deployment", "beside", VPN,
        {**_on(tunnel.gateway.node), "containers": [labelled.container("app")]},
    )  # fmt: skip
    kubectl.apply(beside)
    labelled.wait_for(beside)
    (pod,) = labelled.pods_of(beside)
    caller = probes.Pod(pod["metadata"]["name"], NAMESPACE)
    app = (kubectl.get("vpnapp", "probe", NAMESPACE) or {})["status"]["address"]

    assert _connect(caller, app, PORT).startswith("failed")
    assert _connect(caller, tunnel.app.address, PORT) == "connected"

    let = {"spec": {"network": {"serviceIsolation": False}}}
    kubectl.run("patch", "piavpn", VPN, "--type=merge", "-p", json.dumps(let))
    waiting.eventually(lambda: _connect(caller, app, PORT) == "connected", "they may talk")
    let = {"spec": {"network": {"serviceIsolation": True}}}
    kubectl.run("patch", "piavpn", VPN, "--type=merge", "-p", json.dumps(let))
    waiting.eventually(lambda: _connect(caller, app, PORT).startswith("failed"), "and no more")
    kubectl.delete(beside)


def _on(node: str) -> kubectl.Object:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def _connect(pod: probes.Pod, address: str, port: int) -> str:
    return pod.python(
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); print('connected')\n"
        "except OSError as e: print('failed:', e)",
        address, str(port),
    )  # fmt: skip
