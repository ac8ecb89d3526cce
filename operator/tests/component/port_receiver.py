"""An app that receives a forwarded port, who dials it, and what is told of it."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import namespaces
from gateway_world import APP, World
from kube_api import Api

from piavpn.api.gateway_config import PortForwarding

# Answers by both protocols with the client's address; TCP connections stay open.
ECHO = """
import selectors, socket, sys
port = int(sys.argv[1])
poll = selectors.DefaultSelector()
tcp = socket.create_server(("0.0.0.0", port))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", port))
for each in (tcp, udp): poll.register(each, selectors.EVENT_READ)
held = []
while True:
    for key, _ in poll.select():
        if key.fileobj is tcp:
            connection, peer = tcp.accept()
            connection.sendall(f"{peer[0]} says ".encode() + connection.recv(100))
            held.append(connection)
        else:
            said, peer = udp.recvfrom(100)
            udp.sendto(f"{peer[0]} says ".encode() + said, peer)
"""
RECEIVER = PortForwarding(ipaddress.IPv4Address(APP))
HEARD = "198.18.200.1 says hello"


def bound(api: Api, *, but: int = 0) -> int:
    """Wait until a port is bound, another one than `but`, and return it."""

    def port() -> int:
        told: int = api.status.get("forwardedPort", {}).get("port", 0)
        fine = api.condition("PortForwarded").get("status") == "True"
        return told if fine and told != but else 0

    namespaces.eventually(lambda: port() != 0, what="a bound port", seconds=30)
    return port()


def ports_at(world: World, cn: str) -> set[int]:
    """Return the ports that a server forwards to peers that it knows."""
    server = world.pia.control.state().servers[cn]
    peers = {peer.address for peer in server.peers}
    return {port for port, address in server.forwarded_ports.items() if address in peers}


def refused(api: Api, reason: str) -> dict[str, Any]:
    def shown() -> bool:
        condition = api.condition("PortForwarded")
        return (condition.get("status"), condition.get("reason")) == ("False", reason)

    namespaces.eventually(shown, what=f"the reason {reason}", seconds=20)
    return api.condition("PortForwarded")


@contextlib.contextmanager
def listening(world: World, port: int) -> Iterator[None]:
    with world.app.process(sys.executable, "-c", ECHO, str(port)):
        listens = f"ss -Hltn sport = :{port}"
        namespaces.eventually(lambda: world.app.run(listens), what="the app")
        yield


def dial(
    world: World, port: int, protocol: str = "tcp", address: str = "198.18.11.1"
) -> str | None:
    return world.pia.control.connect(address, port, protocol, "hello")
