"""What an API server's answers say."""

from __future__ import annotations

import json
from collections.abc import Iterator

import urllib3

from piavpn.kube.kinds import KubeError, Object


def refused(request: str, status: int, answer: bytes) -> KubeError:
    """Return the error of an answer that is a Status, or whatever stood in the server's way sent.

    The API server itself answers plain text for a kind that it does not serve.
    """
    try:
        message = to_object(answer).get("message") or f"HTTP {status}"
    except ValueError:
        message = f"HTTP {status}"
    return KubeError(status, f"{request}: {message}")


def to_object(text: bytes) -> Object:
    """Return the object that a text is.

    Raises:
        ValueError: it is none.
    """
    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise ValueError(f"the answer is no object: {text[:80]!r}")  # noqa: TRY004 - as bad JSON
    return parsed


def lines(raw: urllib3.BaseHTTPResponse, *, last: bool = False) -> Iterator[bytes]:
    """Yield the lines that are not empty; the last one also without its end, if so asked."""
    rest = b""
    for chunk in raw.stream(amt=None, decode_content=False):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
    if last and rest:
        yield rest
