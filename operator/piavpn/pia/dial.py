"""Connect to a peer: straight, by its proxy, or out of one link alone; all before a deadline.

Deadlines are of the monotonic clock.
"""

from __future__ import annotations

import dataclasses
import http.client
import socket
import ssl
import time
from http import HTTPStatus

from piavpn.pia import errors

_PROXY_HEAD_LIMIT = 8 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Whom to talk to, and the way there."""

    name: str
    """The name to ask for (SNI) and to find in the certificate."""
    port: int
    address: str | None = None
    """Where to dial; None where `name` resolves."""
    proxy: tuple[str, int] | None = None
    """Host and port of an HTTP proxy that is asked for `address:port` by CONNECT."""
    link: str | None = None
    """The link that leads there: no other is taken. Needs `address`, and goes without proxy."""

    def __str__(self) -> str:
        return f"{self.name} ({self.address}:{self.port})" if self.address else self.name


def dial(peer: Peer, deadline: float) -> socket.socket:
    """Return a connection to the peer, not yet encrypted.

    Raises:
        NotLetThrough: the proxy is not there, or refuses.
        Unreachable: it found no way to the peer.
        OSError: the peer is not there, or not in time.
    """
    if peer.link is not None:
        return _dial_by_link(peer.link, (peer.address or peer.name, peer.port), deadline)
    if peer.proxy is None:
        return socket.create_connection((peer.address or peer.name, peer.port), remaining(deadline))
    allowed = remaining(deadline)
    try:
        raw = socket.create_connection(peer.proxy, allowed)
    except OSError as error:
        host, port = peer.proxy
        raise errors.NotLetThrough(
            f"the bootstrap proxy {host}:{port} cannot be reached: {why(error, allowed)}"
        ) from error
    try:
        _tunnel(raw, peer, deadline)
    except BaseException:
        raw.close()
        raise
    return raw


def _dial_by_link(link: str, target: tuple[str, int], deadline: float) -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        raw.settimeout(remaining(deadline))
        raw.connect(target)
    except BaseException:
        raw.close()
        raise
    return raw


def _tunnel(raw: socket.socket, peer: Peer, deadline: float) -> None:
    """Ask the proxy for the peer. Nothing can follow its answer: in TLS the client speaks first."""
    target = f"{peer.address or peer.name}:{peer.port}"
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _PROXY_HEAD_LIMIT:
        raw.settimeout(remaining(deadline))
        received = raw.recv(_PROXY_HEAD_LIMIT)
        if not received:
            break
        head += received
    _, _, answer = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    if answer[:3] == f"{HTTPStatus.FORBIDDEN:d}":
        raise errors.NotLetThrough(
            f"the bootstrap proxy refused {peer}: the server is not in its allow-list"
            " (the node agent renews the list when the gateway's servers change)"
        )
    if not answer.startswith("2"):
        raise errors.Unreachable(
            f"the bootstrap proxy could not connect to {peer}: {answer or 'no HTTP answer'}"
        )


def remaining(deadline: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: there are none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def why(error: OSError, timeout: float) -> str:
    """Say what went wrong, to a person, with something that was given `timeout` seconds."""
    match error:
        case TimeoutError():
            return f"no answer within {timeout:.0f} s; a firewall or NetworkPolicy may drop it"
        case socket.gaierror():
            return "its name does not resolve; check the cluster's DNS"
        case ssl.SSLError():
            return f"TLS fails ({error.reason})"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
    return error.strerror or type(error).__name__
