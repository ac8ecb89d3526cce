"""A small Kubernetes API over real HTTP: objects in memory, server-side apply, rights, faults.

It knows as much as the operator asks of it: no admission, no defaults, no garbage collection, and
one field manager. Whatever controllers of a cluster would do, the test does itself.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import kube_objects
from kube_calls import Call, read, text_name
from kubernetes import client

from piavpn import kube

Object = dict[str, Any]
CREATED = "2026-11-23T11:00:00Z"


class RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SilenceError(Exception):
    """Raised by a fault: the connection ends without an answer."""


class Api(http.server.ThreadingHTTPServer):
    """Keeps objects. Tests read and write them by `put`, `get` and `all`."""

    daemon_threads = True

    def __init__(self, allowed: Callable[[Call], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.allowed = allowed
        self.fault: Callable[[Call], RefusalError | None] = lambda _call: None
        self.review: Callable[[Object], bool] = lambda _spec: True
        self.version = "v1.36.3"
        self.calls: list[Call] = []
        self.changes: list[Call] = []
        self._objects: dict[tuple[str, str, str | None, str], Object] = {}
        self.texts: dict[str, str] = {}
        """What is no object, as logs, by path and, where one is asked for, `?container=NAME`."""
        self._versions = itertools.count(1)
        self._lock = threading.RLock()
        self._history: list[tuple[int, str, Any, Object]] = []
        self._changed = threading.Condition(self._lock)
        self.closing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cluster(self) -> kube.Cluster:
        settings = client.Configuration(host=self.url)
        settings.retries = False
        return kube.Cluster(client.ApiClient(settings))

    # What a test does in place of a user, a kubelet or a controller

    def put(self, kind: kube.Kind, name: str, namespace: str | None = None, **body: Any) -> Object:
        """Make the object, or change these fields of it."""
        with self._lock:
            key = _key(kind, namespace, name)
            old = self._objects.get(key) or self._new(namespace, name)
            return self._keep(key, kube_objects.merged(old, body))

    def get(self, kind: kube.Kind, name: str, namespace: str | None = None) -> Object:
        with self._lock:
            return copy.deepcopy(self._objects[_key(kind, namespace, name)])

    def all(self, kind: kube.Kind) -> list[Object]:
        with self._lock:
            group, resource = _served(kind)
            found = (o for key, o in self._objects.items() if key[:2] == (group, resource))
            return copy.deepcopy(list(found))

    def forget(self) -> None:
        """Forget what was asked and what has changed: a test may be after its own memory."""
        with self._lock:
            self.calls.clear()
            self.changes.clear()
            self._history.clear()

    def remove(self, kind: kube.Kind, name: str, namespace: str | None = None) -> None:
        with self._lock:
            key = _key(kind, namespace, name)
            self._note("DELETED", key, self._objects.pop(key))

    # What the server does with a request

    def answer(self, call: Call, body: Object | None) -> Object:
        with self._lock:
            self.calls.append(call)
            self._check(call)
            if call.resource == "version":
                return {"gitVersion": self.version}
            if call.resource.endswith("accessreviews"):
                assert body is not None
                return body | {"status": {"allowed": self.review(body["spec"])}}
            key = (call.group, call.resource.removesuffix("/status"), call.namespace, call.name)
            match call.verb:
                case "list":
                    return self._list(call)
                case "create":
                    assert body is not None
                    name = f"{body['metadata']['generateName']}{next(self._versions)}"
                    return self._change(call, (*key[:3], name), body)
            old = self._objects.get(key)  # type: ignore[arg-type]
            if call.verb == "patch" and (old is not None or "apply" in call.content):
                return self._change(call, key, body or {})
            if old is None:
                raise RefusalError(404, f"{call.resource} {call.name!r} not found")
            return old if call.verb == "get" else self._delete(call, key, old, body)

    def _check(self, call: Call) -> None:
        if not self.allowed(call):
            raise RefusalError(403, f"{call.verb} {call.resource} is forbidden")
        if (fault := self.fault(call)) is not None:
            raise fault

    def _list(self, call: Call) -> Object:
        found = [
            item
            for (group, resource, namespace, _), item in self._objects.items()
            if (group, resource) == (call.group, call.resource)
            and call.namespace in (None, namespace)
            and kube_objects.selected(item, call.selector)
            and kube_objects.has_field(item, call.fields)
        ]
        return {"items": found, "metadata": {"resourceVersion": str(next(self._versions))}}

    def _delete(self, call: Call, key: Any, old: Any, body: Object | None) -> Object:
        wanted = (body or {}).get("preconditions", {}).get("uid")
        if wanted not in (None, old["metadata"]["uid"]):
            raise RefusalError(409, "the UID in the precondition does not match")
        self.changes.append(call)
        self._note("DELETED", key, self._objects.pop(key))
        return {"kind": "Status", "status": "Success"}

    def _note(self, change: str, key: Any, item: Object) -> None:
        version = next(self._versions)
        item["metadata"]["resourceVersion"] = str(version)
        self._history.append((version, change, key, copy.deepcopy(item)))
        self._changed.notify_all()

    def follow(self, call: Call) -> Iterator[Object]:
        """Yield what a watch tells, until the server ends."""
        since = int(dict(urllib.parse.parse_qsl(call.query))["resourceVersion"])
        while True:
            with self._changed:
                while not (self.closing or (self._history and self._history[-1][0] > since)):
                    self._changed.wait()
                if self.closing:
                    return
                news = [entry for entry in self._history if entry[0] > since]
                since = news[-1][0]
            for _, change, (group, resource, namespace, _), item in news:
                if (
                    (group, resource) == (call.group, call.resource)
                    and call.namespace in (None, namespace)
                    and kube_objects.selected(item, call.selector)
                    and kube_objects.has_field(item, call.fields)
                ):
                    yield {"type": change, "object": item}

    def close_watches(self) -> None:
        with self._changed:
            self.closing = True
            self._changed.notify_all()

    def _change(self, call: Call, key: Any, body: Object) -> Object:
        old = self._objects.get(key)
        if old is None and call.resource.endswith("/status"):
            raise RefusalError(404, f"{call.resource} {call.name!r} not found")
        base = old or self._new(key[2], key[3])
        if "apply" in call.content and not call.resource.endswith("/status"):
            base = {k: v for k, v in base.items() if k in {"metadata", "status"}}
        new = kube_objects.merged(base, body)
        if "apply" in call.content:
            kube_objects.keep_restart(old, new)
        if new != old:
            self.changes.append(call)
            new = self._keep(key, new)
        return dict(new)

    def _new(self, namespace: str | None, name: str) -> Object:
        metadata = {"name": name, "uid": f"uid-{next(self._versions)}", "generation": 1}
        metadata["creationTimestamp"] = CREATED
        return {"metadata": metadata | ({"namespace": namespace} if namespace else {})}

    def _keep(self, key: Any, new: Object) -> Object:
        old = self._objects.get(key)
        if old is not None and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        self._objects[key] = new
        self._note("MODIFIED" if old is not None else "ADDED", key, new)
        kept: Object = copy.deepcopy(new)
        return kept


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for an acknowledgement

    def do_GET(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        call = read(self.command, self.path, self.headers.get("Content-Type") or "")
        if call.verb == "watch":
            self._follow(call)
            return
        if (text := self.server.texts.get(text_name(self.path))) is not None:
            self._send(200, "text/plain", text.encode())
            return
        try:
            status, answer = 200, self.server.answer(call, body)
        except SilenceError:
            self.close_connection = True
            return
        except RefusalError as refusal:
            status, answer = refusal.status, {"kind": "Status", "message": str(refusal)}
        self._send(status, "application/json", json.dumps(answer).encode())

    def _follow(self, call: Call) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.flush()
            for change in self.server.follow(call):
                line = json.dumps(change).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


def _served(kind: kube.Kind) -> tuple[str, str]:
    group = kind.api_version.rpartition("/")[0]
    return group, kind.plural


def _key(kind: kube.Kind, namespace: str | None, name: str) -> tuple[str, str, str | None, str]:
    return (*_served(kind), namespace, name)


@contextlib.contextmanager
def serving(allowed: Callable[[Call], bool] = lambda _call: True) -> Iterator[Api]:
    """Serve for as long as the block."""
    with Api(allowed) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield api
        finally:
            api.close_watches()
            api.shutdown()
            thread.join()
