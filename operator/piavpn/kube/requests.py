"""The requests to the API server that this process made: what it costs the cluster."""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping

Labels = tuple[str, str, str]
"""Verb and resource as RBAC names them, and the answer's status: `none` where none came."""

NO_ANSWER = "none"
_VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete"}


class Requests:
    """Counts them. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: collections.Counter[Labels] = collections.Counter()

    def count(self, method: str, path: str, query: Mapping[str, str], code: str) -> None:
        """Count one, given by its HTTP method, path and query."""
        verb, resource = _described(method, path, query)
        with self._lock:
            self._made[verb, resource, code] += 1

    def read(self) -> Mapping[Labels, int]:
        """Return what was counted so far."""
        with self._lock:
            return dict(self._made)


MADE = Requests()
"""All of this process."""


def _described(method: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Return verb and resource, the latter with its subresource: `pods/status`."""
    root, _, rest = path.strip("/").partition("/")
    parts = rest.split("/")[1 if root == "api" else 2 :]
    if parts[:1] == ["namespaces"] and len(parts) > 2:  # noqa: PLR2004 - .../namespaces/NAME/...
        parts = parts[2:]
    if not parts:
        return "get", path.strip("/")  # of no resource: `version`
    resource, *name = parts
    verb = _VERBS.get(method) or ("watch" if "watch" in query else "get" if name else "list")
    return verb, "/".join([resource, *name[1:]])
