"""A Kubernetes API that keeps the requests and answers them all alike."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

STATUS = {"kind": "Status", "status": "Failure", "message": "what the server says"}


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    content: str | None = None
    body: Any = None


class Server(http.server.ThreadingHTTPServer):
    """Answers everything alike: `status` and `content` are the test's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.content = b'{"metadata": {"name": "answered"}}'
        self.length: int | None = None
        self.requests: list[Request] = []
        self.token: str | None = None
        """If set, the only one that is let in."""

    def refuse(self, status: int, content: bytes | None = None) -> None:
        self.status = status
        self.content = json.dumps(STATUS).encode() if content is None else content

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken answers are what is tested."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        self.server.requests.append(
            Request(
                self.command,
                path,
                dict(urllib.parse.parse_qsl(query)),
                self.headers.get("Content-Type") if length else None,
                json.loads(self.rfile.read(length)) if length else None,
            )
        )
        expected, shown = self.server.token, self.headers.get("Authorization", "")
        known = expected is None or shown.lower() == f"bearer {expected}"
        self.send_response(self.server.status if known else 401)
        length = self.server.length or len(self.server.content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Serve for as long as the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
