"""HTTP and HTTPS servers on given sockets, for applications that are functions.

An application takes a request and gives a reply; None closes the connection without one.
"""

import json
import logging
import socket
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import server
from typing import Any

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked: header names in lower case, values of `query` percent-decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str
    client_port: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client is answered."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Application = Callable[[Request], Reply | None]
ContextSource = Callable[[], ssl.SSLContext]


def json_reply(
    document: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Give a reply with a JSON body."""
    return Reply(status, json.dumps(document).encode(), "application/json", headers or {})


def text_reply(text: str, *, status: int = 200) -> Reply:
    """Give a reply with plain text."""
    return Reply(status, text.encode(), "text/plain; charset=utf-8")


def server_error() -> Reply:
    """Give what nginx says when what is behind it fails."""
    page = b"<html>\r\n<head><title>500 Internal Server Error</title></head>\r\n</html>\r\n"
    return Reply(500, page, "text/html")


def serve(
    listener: socket.socket, application: Application, context: ContextSource | None = None
) -> None:
    """Serve `application` on `listener` from threads of its own, for the life of the process.

    `context` is asked at each connection, so that a certificate can change; None: plain HTTP.
    """
    http = _Server(listener, application, context)
    threading.Thread(target=http.serve_forever, daemon=True).start()


class _Server(server.ThreadingHTTPServer):
    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        context: ContextSource | None,
    ) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.application = application
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here and not when the connection is accepted: a slow handshake must hold up nobody else.
        request.settimeout(_IDLE_SECONDS)
        if self._context is None:
            _Handler(request, client_address, self)
            return
        with self._context().wrap_socket(request, server_side=True) as tls:
            _Handler(tls, client_address, self)

    def handle_error(self, *connection: Any) -> None:
        _, (client, _) = connection
        error = sys.exception()
        # Clients that refuse a certificate or go away are part of the trade; the rest is a bug.
        trace = None if isinstance(error, OSError) else error
        _log.warning("connection of %s failed: %s", client, error, exc_info=trace)


class _Handler(server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def version_string(self) -> str:
        return "nginx"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a request line holds the token. Applications log their own events."""

    def _answer(self) -> None:
        reply = self.server.application(self._request())
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = _answer  # noqa: N815 - the base class's names

    def _request(self) -> Request:
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length", "0"))
        return Request(
            method=self.command,
            path=url.path,
            query=dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            client=self.client_address[0],
            client_port=self.client_address[1],
        )
