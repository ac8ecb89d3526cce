"""What the gateway's resolver asks reaches the tunnel's resolvers, whenever it was asked first.

dnsmasq asks for a name by one socket again and again until it has an answer, and the kernel goes on
translating what comes from a socket as it did the first time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator

import pytest
from namespaces import Namespace

from piavpn.gateway import routing, rules
from piavpn.gateway.slots import SLOTS
from piavpn.net import nft, routes

OWN, UPSTREAM, RESOLVER = "10.100.0.2", "192.0.2.53", "10.0.0.243"
_PROTOCOL = 14 + 9
_DESTINATION = slice(14 + 16, 14 + 20)
_PAYLOAD = slice(14 + 20 + 8, None)


@pytest.fixture
def gateway(new_namespace: Callable[[str], Namespace]) -> Iterator[Namespace]:
    """A gateway that has a way by the tunnel, but is not told of the session's resolvers."""
    namespace = new_namespace("gateway")
    namespace.run("ip link set lo up")
    for link, address in (("vpn0", OWN), ("piaw0", "10.5.1.7")):
        namespace.run(f"ip link add {link} type bridge")
        namespace.run(f"ip address add {address}/32 dev {link}")
        namespace.run(f"ip link set {link} arp off up")
    with namespace.entered():
        nft.load(rules.ruleset(SLOTS[0], {}))
        routes.apply(*routing.wanted({"piaw0"}), owner=routes.Owner.GATEWAY)
        yield namespace


@pytest.mark.usefixtures("gateway")
def test_a_question_from_before_the_tunnel_is_asked_in_it_by_the_same_socket() -> None:
    with sent_by_the_tunnel() as sent, socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.bind((OWN, 0))
        with contextlib.suppress(PermissionError):
            asking.sendto(b"early", (UPSTREAM, 53))
        assert sent() == []
        answering = {SLOTS[0]: (ipaddress.IPv4Address(RESOLVER),)}
        nft.load(rules.selection(SLOTS[0], answering))
        asking.sendto(b"again", (UPSTREAM, 53))
        assert sent() == [(RESOLVER, b"again")]


@contextlib.contextmanager
def sent_by_the_tunnel() -> Iterator[Callable[[], list[tuple[str, bytes]]]]:
    """Yield what returns the UDP datagrams that left by the tunnel so far."""
    everything = socket.htons(3)  # ETH_P_ALL: what is sent is seen by no other
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything) as seen:
        seen.bind(("piaw0", 3))
        seen.settimeout(0)

        def sent() -> list[tuple[str, bytes]]:
            frames = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    frames.append(seen.recv(2048))
            return [
                (socket.inet_ntoa(frame[_DESTINATION]), frame[_PAYLOAD])
                for frame in frames
                if frame[12:14] == b"\x08\x00" and frame[_PROTOCOL] == socket.IPPROTO_UDP
            ]

        yield sent
