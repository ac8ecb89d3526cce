"""A small HTTP server for the kubelet's probes: one path for each question, 200 or 503.

It can have other pages, too, as one for metrics.
"""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType

Check = Callable[[], bool]
Page = Callable[[], tuple[str, bytes]]
"""Returns the content type and the body."""
_NO_PAGES: Mapping[str, Page] = MappingProxyType({})


def serve(
    host: str, port: int, checks: Mapping[str, Check], pages: Mapping[str, Page] = _NO_PAGES
) -> http.server.ThreadingHTTPServer:
    """Answer these paths in a thread of its own until the server's `shutdown()`.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one, see the server's `server_port`.
        checks: path, such as `/livez`, to a quick function that tells whether all is well.
        pages: path, such as `/metrics`, to what makes the page.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server((host, port), checks, pages)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server that begins at once and ends without waiting for its clients."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Listen without asking DNS for our name, which the base class does and may wait for."""
        socketserver.TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])


class _Server(Server):
    def __init__(
        self, address: tuple[str, int], checks: Mapping[str, Check], pages: Mapping[str, Page]
    ) -> None:
        self.checks, self.pages = dict(checks), dict(pages)
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        if page := self.server.pages.get(self.path):
            self._answer(HTTPStatus.OK, *page())
        elif check := self.server.checks.get(self.path):
            self._say(HTTPStatus.OK if check() else HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._say(HTTPStatus.NOT_FOUND)

    def _say(self, status: HTTPStatus) -> None:
        self._answer(status, "text/plain", f"{status.phrase}\n".encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Probes come every few seconds: log nothing."""
