from __future__ import annotations

import ipaddress
import itertools
import socket
import time
from pathlib import Path

import pia_server
import pytest
from cryptography import x509
from pia_server import Call, Reply

from piavpn.pia import errors, https, tls

AUTHORITY = pia_server.Authority("A CA")
REQUEST = https.Request("GET", "/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
    return AUTHORITY.issue(tmp_path_factory.mktemp("host"), "host", names=(name,))


def ask(port: int, timeout: float = 5) -> https.Response:
    peer = https.Peer(pia_server.HOST, port)
    context = tls.pia_context(AUTHORITY.pem)
    return https.exchange(peer, REQUEST, context=context, timeout=timeout, limit=1000)


def test_an_answer_is_returned_whole(certificate: Path) -> None:
    with pia_server.serving(certificate, Reply(418, "x" * 1000, {"X-Kind": "tea"})) as server:
        answer = ask(server.port)

    assert answer.status == 418
    assert answer.headers["x-kind"] == "tea"
    assert answer.body == b"x" * 1000


def test_an_answer_beyond_the_limit_is_not_read(certificate: Path) -> None:
    with (
        pia_server.serving(certificate, Reply(200, "x" * 1001)) as server,
        pytest.raises(errors.BadResponse, match="more than 1000 bytes"),
    ):
        ask(server.port)


def test_an_answer_that_ends_early_is_not_taken_for_a_whole_one(certificate: Path) -> None:
    with (
        pia_server.serving(certificate, Reply(200, "x" * 10, declared_length=500)) as server,
        pytest.raises(errors.Unreachable, match="490 bytes too early"),
    ):
        ask(server.port)


def test_a_silent_server_costs_no_more_than_the_timeout(certificate: Path) -> None:
    def hang(_call: Call) -> Reply:
        server.stopping.wait()
        return Reply(200)

    with pia_server.serving(certificate, hang) as server:
        started = time.monotonic()
        with pytest.raises(errors.Unreachable, match="no answer within 1 s"):
            ask(server.port, timeout=1)

    assert 0.9 < time.monotonic() - started < 3


def test_a_trickle_costs_no_more_than_the_timeout(certificate: Path) -> None:
    def trickle(peer: socket.socket) -> None:
        for byte in itertools.cycle(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 90):
            if server.stopping.wait(0.05):
                return
            peer.sendall(bytes([byte]))

    server = pia_server.ScriptedServer(certificate, trickle)
    started = time.monotonic()
    with server, pia_server.running(server):
        with pytest.raises(errors.Unreachable, match="no answer within 1 s"):
            ask(server.port, timeout=1)
        server.stopping.set()

    assert time.monotonic() - started < 3


def test_a_host_that_does_not_speak_tls_is_named() -> None:
    with (
        pia_server.talking(lambda peer: peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as port,
        pytest.raises(errors.Unreachable, match="TLS fails"),
    ):
        ask(port)


def test_a_host_that_closes_at_once_is_named() -> None:
    with pia_server.talking(lambda _peer: None) as port, pytest.raises(errors.Unreachable):
        ask(port)


def test_a_refused_connection_is_named() -> None:
    with socket.create_server((pia_server.HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1 cannot be reached: .*refused"):
        ask(port)


def test_a_host_that_does_not_speak_http_is_named(certificate: Path) -> None:
    server = pia_server.ScriptedServer(
        certificate, lambda peer: peer.sendall(b"220 mail.example ESMTP\r\n")
    )
    with (
        server,
        pia_server.running(server),
        pytest.raises(errors.BadResponse, match="no whole HTTP answer"),
    ):
        ask(server.port)


def test_a_name_that_does_not_resolve_is_named() -> None:
    with pytest.raises(errors.Unreachable, match="its name does not resolve"):
        https.public("https://piavpn.invalid/", ca_bundle=None, timeout=20)


def test_a_peer_by_a_link_is_reached_by_that_link_alone(certificate: Path) -> None:
    def by(link: str) -> https.Response:
        peer = https.Peer(pia_server.HOST, server.port, pia_server.HOST, link=link)
        return https.exchange(peer, REQUEST, context=tls.pia_context(AUTHORITY.pem), timeout=5)

    with pia_server.serving(certificate, Reply(200, "by the link")) as server:
        assert by("lo").text == "by the link"
        with pytest.raises(errors.Unreachable, match="No such device"):
            by("piaw9")
