"""A stand-in for PIA at the transport: real certificates with PIA's flaws, real HTTPS, a proxy."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import http.server
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
_DAY = dt.timedelta(days=1)


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: rsa.RSAPrivateKey) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


class Authority:
    """A CA like PIA's: basicConstraints not critical, no keyUsage, an AKI."""

    def __init__(self, name: str) -> None:
        self._key = new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        public = self._key.public_key()
        self.certificate = (
            self._builder(self._name, public, expired=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA512())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        directory: Path,
        cn: str,
        *,
        names: tuple[x509.GeneralName, ...] = (),
        expired: bool = False,
    ) -> Path:
        """Write a leaf and its key into one PEM file; without `names` it is CN-only."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        builder = self._builder(subject, key.public_key(), expired=expired)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        path = directory / f"{leaf.serial_number:x}.pem"
        path.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + private_pem(key))
        return path

    def _builder(
        self, subject: x509.Name, key: rsa.RSAPublicKey, *, expired: bool
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 180 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
            .add_extension(issuer, critical=False)
        )


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    body: bytes | str = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    declared_length: int | None = None
    """A Content-Length other than the true one."""


@dataclasses.dataclass(frozen=True)
class Call:
    method: str
    target: str
    headers: dict[str, str]
    body: str


class HttpsServer(http.server.ThreadingHTTPServer):
    """Answers every request with `reply`, and remembers what it was asked."""

    def __init__(self, certificate: Path, reply: Callable[[Call], Reply]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.port: int = self.server_address[1]
        self.reply = reply
        self.calls: list[Call] = []
        self.names_asked_for: list[str | None] = []
        self.stopping = threading.Event()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._tls.sni_callback = lambda _socket, name, _context: self.names_asked_for.append(name)

    def get_request(self) -> tuple[socket.socket, Any]:
        raw, address = super().get_request()
        # The handshake is left to the handler's thread: a client that stalls must not stop us.
        wrapped = self._tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that break off are what is tested."""


class ScriptedServer(HttpsServer):
    """Speaks TLS, and whatever `script` writes instead of HTTP."""

    def __init__(self, certificate: Path, script: Callable[[socket.socket], None]) -> None:
        super().__init__(certificate, lambda _call: Reply(200))
        self._script = script

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        request.recv(4096)
        self._script(request)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HttpsServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        self.server.calls.append(call)
        reply = self.server.reply(call)
        raw = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(reply.declared_length or len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the test's output quiet."""


@contextlib.contextmanager
def serving(certificate: Path, reply: Callable[[Call], Reply] | Reply) -> Iterator[HttpsServer]:
    answer = (lambda _call: reply) if isinstance(reply, Reply) else reply
    with HttpsServer(certificate, answer) as server, running(server):
        try:
            yield server
        finally:
            server.stopping.set()


class ConnectProxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that knows CONNECT, and refuses what is not in its allow-list."""

    daemon_threads = True

    def __init__(self, allowed: set[str]) -> None:
        super().__init__((HOST, 0), _ConnectHandler)
        self.address: tuple[str, int] = (HOST, self.server_address[1])
        self.allowed = allowed
        self.asked_for: list[str] = []


class _ConnectHandler(socketserver.StreamRequestHandler):
    server: ConnectProxy
    rbufsize = 0

    def handle(self) -> None:
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.asked_for.append(target)
        if target not in self.server.allowed:
            self.wfile.write(b"HTTP/1.0 403 Filtered\r\nServer: tinyproxy\r\n\r\n<html>")
            return
        host, port = target.split(":")
        try:
            upstream = socket.create_connection((host, int(port)))
        except OSError:
            self.wfile.write(b"HTTP/1.0 500 Unable to connect\r\n\r\n<html>")
            return
        with upstream:
            self.wfile.write(b"HTTP/1.0 200 Connection established\r\n\r\n")
            _pump(self.connection, upstream)


def _pump(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    while True:
        for ready in select.select(list(peers), [], [])[0]:
            received = ready.recv(65536)
            if not received:
                return
            peers[ready].sendall(received)


@contextlib.contextmanager
def proxying(*allowed: str) -> Iterator[ConnectProxy]:
    with ConnectProxy(set(allowed)) as proxy, running(proxy):
        yield proxy


@contextlib.contextmanager
def talking(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve raw TCP: `script` has each connection for itself. Yields the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                script(self.request)

    with socketserver.ThreadingTCPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        with running(server):
            yield server.server_address[1]


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
