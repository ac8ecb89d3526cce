"""Requests to the API server of the tests, as RBAC sees them."""

from __future__ import annotations

import dataclasses
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Call:
    """One request: its verb as RBAC names it, and the path's parts."""

    verb: str
    group: str
    resource: str
    namespace: str | None
    name: str | None
    selector: str = ""
    fields: str = ""
    query: str = ""
    content: str = ""


def read(method: str, target: str, content: str) -> Call:
    """Read an HTTP request for `target`, a path with its query, of this content type."""
    path, _, query = target.partition("?")
    parts = path.strip("/").split("/")
    if parts == ["version"]:
        parts = ["api", "v1", *parts]
    group = "" if parts[0] == "api" else parts[1]
    parts = parts[2 if parts[0] == "api" else 3 :]
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource, name = parts[0], parts[1] if len(parts) > 1 else None
    verb = {"PATCH": "patch", "POST": "create", "DELETE": "delete"}.get(method)
    fields = dict(urllib.parse.parse_qsl(query))
    if "watch" in fields:
        verb = "watch"
    return Call(
        verb=verb or ("get" if name else "list"),
        group=group,
        resource="/".join([resource, *parts[2:]]),
        namespace=namespace,
        name=name,
        selector=fields.get("labelSelector", ""),
        fields=fields.get("fieldSelector", ""),
        query=query,
        content=content,
    )


def text_name(target: str) -> str:
    """Return by what name the API server keeps the text at `target`."""
    path, _, query = target.partition("?")
    container = dict(urllib.parse.parse_qsl(query)).get("container")
    return f"{path}?container={container}" if container else path
