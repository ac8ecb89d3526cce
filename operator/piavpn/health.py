"""A small HTTP server for the kubelet's probes: one path for each question, 200 or 503."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus

Check = Callable[[], bool]


def serve(host: str, port: int, checks: Mapping[str, Check]) -> http.server.ThreadingHTTPServer:
    """Answer the paths of `checks` in a thread of its own until the server's `shutdown()`.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one, see the server's `server_port`.
        checks: path, such as `/livez`, to a quick function that tells whether all is well.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server((host, port), checks)
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
    def __init__(self, address: tuple[str, int], checks: Mapping[str, Check]) -> None:
        self.checks = dict(checks)
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        check = self.server.checks.get(self.path)
        if check is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        self._answer(HTTPStatus.OK if check() else HTTPStatus.SERVICE_UNAVAILABLE)

    def _answer(self, status: HTTPStatus) -> None:
        body = f"{status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Probes come every few seconds: log nothing."""
