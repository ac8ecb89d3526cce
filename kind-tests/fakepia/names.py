"""DNS: the Internet's names, and the resolvers that servers have in the tunnel."""

import contextlib
import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from fakepia import namespaces, sockets, world

DNS_PORT = 53
WHOAMI_NAME = "whoami.test."
"""Its A and TXT records are the address that the question came from."""

ADVERTISERS = dns.name.from_text("ads.test.")
"""The domain that PIA's filtering resolver answers 0.0.0.0 for."""

_UPSTREAM_SECONDS = 3.0
_CACHED_SECONDS = 300

_HOSTS = {
    "www.example.test.": world.WHOAMI,
    "banner.ads.test.": world.WHOAMI,
    **{f"{name}.": world.FRONT for name in world.FRONT_NAMES},
}


def authoritative_answer(query: bytes, client: str) -> bytes | None:
    """Answer a question about the Internet's names; None: it is no question."""
    message = _question(query)
    if message is None:
        return None
    response = dns.message.make_response(message)
    response.flags |= dns.flags.AA
    question = message.question[0]
    name = question.name.to_text().lower()
    # The same name has another answer by another way, so that it must not be cached.
    ttl = 0 if name == WHOAMI_NAME else _CACHED_SECONDS
    if name == WHOAMI_NAME:
        records = {dns.rdatatype.A: client, dns.rdatatype.TXT: f'"{client}"'}
    elif name in _HOSTS:
        records = {dns.rdatatype.A: str(_HOSTS[name])}
    else:
        response.set_rcode(dns.rcode.NXDOMAIN)
        records = {}
    if question.rdtype in records:
        text = records[question.rdtype]
        response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", question.rdtype, text))
    return response.to_wire()


class Resolver:
    """The resolvers of one server: they ask the Internet from the server's own address."""

    def __init__(self, namespace: namespaces.Namespace) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._queries = 0

    @property
    def queries(self) -> int:
        """How many questions were asked here."""
        return self._queries

    def start(self) -> None:
        """Answer at the resolvers' addresses.

        Raises:
            OSError: one of the addresses is not there.
        """
        for address in world.RESOLVERS:
            _serve(self._namespace, address, self._forward)
        _serve(self._namespace, world.FILTERING_RESOLVER, self._forward_filtered)

    def _forward(self, query: bytes, _: str) -> bytes | None:
        with self._lock:
            self._queries += 1
        with contextlib.suppress(OSError), self._connect() as upstream:
            upstream.settimeout(_UPSTREAM_SECONDS)
            sockets.send_message(upstream, query)
            return sockets.receive_message(upstream)
        return None

    def _forward_filtered(self, query: bytes, client: str) -> bytes | None:
        message = _question(query)
        if message is None or not message.question[0].name.is_subdomain(ADVERTISERS):
            return self._forward(query, client)
        response = dns.message.make_response(message)
        question = message.question[0]
        if question.rdtype == dns.rdatatype.A:
            rrset = dns.rrset.from_text(question.name, 0, "IN", "A", "0.0.0.0")
            response.answer.append(rrset)
        return response.to_wire()

    def _connect(self) -> socket.socket:
        return self._namespace.connect(str(world.WHOAMI), DNS_PORT, socket.SOCK_STREAM)


def serve_authoritative(namespace: namespaces.Namespace) -> None:
    """Answer for the Internet's names at the who-am-I address.

    Raises:
        OSError: the address is not there.
    """
    _serve(namespace, world.WHOAMI, authoritative_answer)


def _serve(
    namespace: namespaces.Namespace,
    address: IPv4Address,
    answer: Callable[[bytes, str], bytes | None],
) -> None:
    def converse(connection: socket.socket, client: str) -> None:
        while (query := sockets.receive_message(connection)) is not None:
            reply = answer(query, client)
            if reply is None:
                return
            sockets.send_message(connection, reply)

    sockets.serve_udp(namespace.bind_udp(address, DNS_PORT), answer)
    sockets.serve_tcp(namespace.listen(address, DNS_PORT), converse)


def _question(query: bytes) -> dns.message.Message | None:
    try:
        message = dns.message.from_wire(query)
    except dns.exception.DNSException:
        return None
    is_question = len(message.question) == 1 and not message.flags & dns.flags.QR
    return message if is_question else None
