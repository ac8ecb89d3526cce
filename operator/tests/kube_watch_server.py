"""A Kubernetes API that lists and watches by a script, and a client's watch of it."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client

from piavpn import kube

Change = tuple[str, str, str]
"""The kind of change, the object's name and its resource version."""
SYNCED = ("SYNCED", "", "")


def item(name: str, version: int, uid: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    }


def listed(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def line(change: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": change, "object": body}).encode() + b"\n"


def gone() -> bytes:
    return line("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})


class Server(http.server.ThreadingHTTPServer):
    """Answers each list and each watch with the next of its script; the last is repeated.

    A list is a dict, or an HTTP status to fail with. A watch is a sequence of chunks to send, or an
    HTTP status; it then ends. A chunk None breaks the connection, an Event is waited for.
    """

    daemon_threads = True

    def __init__(self, lists: list[Any], watches: list[Any], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.lists, self.watches = iter(_last_for_ever(lists)), iter(_last_for_ever(watches))
        self.versions: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.lists_asked = 0
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that break off are what is tested."""


def _last_for_ever(answers: list[Any]) -> Iterator[Any]:
    return itertools.chain(answers, itertools.repeat(answers[-1]))


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        self.server.queries.append(query)
        if "watch" in query:
            self.server.versions.append(query["resourceVersion"])
            self._watch(next(self.server.watches))
        else:
            self.server.lists_asked += 1
            self._list(next(self.server.lists))

    def _list(self, answer: dict[str, Any] | int) -> None:
        status = answer if isinstance(answer, int) else 200
        self._send(status, json.dumps({"message": "no"} if status != 200 else answer).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _watch(self, chunks: list[Any] | int) -> None:
        if isinstance(chunks, int):
            self._send(chunks, b"<html>no</html>")
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        for chunk in chunks:
            if isinstance(chunk, threading.Event):
                while not (chunk.wait(0.05) or self.server.closing.is_set()):
                    pass
            elif chunk is None:
                return
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


class Watched:
    """A watch that runs in a thread, and what it has yielded."""

    def __init__(self, port: int, **selection: str) -> None:
        settings = client.Configuration(host=f"http://127.0.0.1:{port}")
        settings.retries = False
        self.cluster = kube.Cluster(client.ApiClient(settings))
        self.stop = threading.Event()
        self.changes: list[Change] = []
        self.objects: list[kube.Object] = []
        self._thread = threading.Thread(target=self._run, kwargs=selection)
        self._thread.start()

    def _run(self, **selection: str) -> None:
        for change, body in self.cluster.watch(kube.CONFIG_MAPS, stop=self.stop, **selection):
            self.objects.append(body)
            metadata = body.get("metadata", {"name": "", "resourceVersion": ""})
            self.changes.append((change, metadata["name"], metadata["resourceVersion"]))

    def until(self, *expected: Change) -> None:
        eventually(lambda: self.changes[: len(expected)] == list(expected), lambda: self.changes)

    def join(self) -> None:
        self.stop.set()
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


def eventually(holds: Callable[[], bool], shown: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.01)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def watching_of(
    lists: list[Any], watches: list[Any], **selection: str
) -> Iterator[tuple[Server, Watched]]:
    with Server(lists, watches) as server:
        watched = Watched(server.server_address[1], **selection)
        try:
            with serving(server):
                yield server, watched
                watched.stop.set()
        finally:
            watched.join()
