"""Services of one VPN are kept from each other on their bridge, unless it lets them talk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, probes, waiting

PORT = 8080
_SERVE = f"""
import socket
with socket.create_server(("", {PORT})) as s:
    while True: s.accept()[0].close()
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbours:
    """Two apps behind one tunnel; the other one listens on a port and has a Service."""

    tunnel: probes.Tunnel
    other: probes.Pod
    address: str
    """The other one's, on the bridge."""

    def uids(self) -> list[str]:
        """Return the pods' UIDs: a restarted one has another."""
        pods = (self.tunnel.app, self.other, self.tunnel.gateway)
        return [pod.get()["metadata"]["uid"] for pod in pods]

    def isolate(self, *, isolated: bool) -> None:
        """Change the PiaVpn."""
        patch = {"spec": {"network": {"serviceIsolation": isolated}}}
        kubectl.run(
            "patch", "piavpn", self.tunnel.vpn, "--type=merge", "--patch", json.dumps(patch)
        )

    def reachable(self) -> bool:
        """Tell whether the one app reaches the other at its bridge address."""
        return _connects(self.tunnel.app, self.address)


@pytest.fixture(scope="module")
def neighbours() -> Iterator[Neighbours]:
    with probes.tunnel("neighbours", location="swiss") as tunnel:
        namespace = tunnel.app.namespace
        ports = [{"name": "web", "port": PORT}]
        kubectl.apply(manifests.app("other", namespace, tunnel.vpn, ports=ports))
        kubectl.wait_for("vpnapp", "other", "Ready", namespace)
        other = probes.Pod("other-0", namespace)
        other.start_python(_SERVE)
        status = (kubectl.get("vpnapp", "other", namespace) or {})["status"]
        yield Neighbours(tunnel, other, str(status["address"]))


def _connects(pod: probes.Pod, address: str, port: int = PORT) -> bool:
    code = (
        "import socket\n"
        f"try: socket.create_connection(({address!r}, {port}), 3).close(); print('yes')\n"
        "except OSError as e: print('failed:', e)"
    )
    return pod.python(code) == "yes"


def test_a_service_reaches_another_by_its_service_alone_until_its_vpn_lets_them_talk(
    neighbours: Neighbours,
) -> None:
    one, other = neighbours.tunnel.app, neighbours.other
    gateway = str(neighbours.tunnel.status()["network"]["gatewayAddress"])
    before = neighbours.uids()

    # The controls: the other one does listen there, and the bridge does carry packets.
    waiting.eventually(lambda: _connects(other, neighbours.address), "the other one listens")
    assert _connects(one, gateway, port=53)
    assert not neighbours.reachable()
    waiting.eventually(lambda: _connects(one, "other"), "the other one's Service answers")

    neighbours.isolate(isolated=False)
    waiting.eventually(neighbours.reachable, "the one reaches the other on the bridge")
    neighbours.isolate(isolated=True)
    waiting.eventually(lambda: not neighbours.reachable(), "it is kept from it again")

    assert _connects(one, gateway, port=53)
    assert one.tcp() == neighbours.tunnel.server_address
    assert neighbours.uids() == before
