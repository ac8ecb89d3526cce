"""A Kubernetes API of one PiaVpn: what a gateway asks for, over real HTTP."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

from namespaces import Namespace

PATH = "/apis/piavpn.dev/v1alpha1/piavpns/home"
SECRET = "/api/v1/namespaces/piavpn-system/secrets/piavpn-ports"
GENERATION = 3


class Api(http.server.ThreadingHTTPServer):
    """Serves the PiaVpn `home`, takes its status by server-side apply, and one Secret's data."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        self.status: dict[str, Any] = {}
        self.queries: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.secret: dict[str, str] = {}
        """Data of the Secret in which gateways keep their ports, as the API has it."""
        super().__init__(address, _Handler)

    def told(self) -> list[str]:
        """Return the reasons of the Events, in their order."""
        return [event["reason"] for event in self.events]

    def condition(self, kind: str) -> dict[str, Any]:
        """Return the condition without its time; empty where there is none."""
        listed = self.status.get("conditions", [])
        found: dict[str, Any] = next((item for item in listed if item["type"] == kind), {})
        return {name: value for name, value in found.items() if name != "lastTransitionTime"}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        known = self.path == PATH
        self._answer(200 if known else 404, self._vpn() if known else {"message": "not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.events.append(body)
        self._answer(201, body)

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == SECRET:
            self.server.secret |= body["data"]
            self._answer(200, {"kind": "Secret"})
            return
        self.server.queries.append(self.path)
        self.server.status = body["status"]
        self._answer(200, self._vpn())

    def _vpn(self) -> dict[str, Any]:
        return {
            "apiVersion": "piavpn.dev/v1alpha1",
            "kind": "PiaVpn",
            "metadata": {"name": "home", "generation": GENERATION},
            "status": self.server.status,
        }

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


@contextlib.contextmanager
def serving(namespace: Namespace, address: str, port: int) -> Iterator[Api]:
    """Serve in the namespace for as long as the block."""
    with namespace.entered():
        api = Api((address, port))
    thread = threading.Thread(target=api.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        thread.join()
        api.server_close()


def kubeconfig(file: pathlib.Path, address: str, port: int) -> None:
    """Write a KUBECONFIG for it."""
    entry = {"cluster": {"server": f"http://{address}:{port}"}, "name": "test"}
    context = {"context": {"cluster": "test", "user": "test"}, "name": "test"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [entry],
        "contexts": [context],
        "users": [{"name": "test", "user": {}}],
        "current-context": "test",
    }
    file.write_text(json.dumps(document))
