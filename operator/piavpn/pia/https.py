"""One HTTPS request and its whole answer: bounded in time and size, redirects not followed.

Built on http.client with contexts of our own, so that no environment variable (REQUESTS_CA_BUNDLE,
HTTPS_PROXY) changes whom we trust or where a password goes.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from piavpn.pia import dial, errors, tls
from piavpn.pia.dial import Peer

__all__ = ["Peer"]

DEFAULT_LIMIT = 64 * 1024
"""Bytes that an answer may have."""
_HTTPS_PORT = 443


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What to ask."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    body: bytes | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """What was answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", errors="replace")

    @property
    def is_web_page(self) -> bool:
        """Tell whether this is made for a browser: a block page, a captive portal, a gateway."""
        return self.text.lstrip("\ufeff \t\r\n").startswith("<")

    def json_object(self) -> dict[str, Any]:
        """Return the JSON object of the body; empty when it is anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def exchange(
    peer: Peer,
    request: Request,
    *,
    context: ssl.SSLContext,
    timeout: float,
    limit: int = DEFAULT_LIMIT,
) -> Response:
    """Ask once; `timeout` is in seconds and for all of it but the resolution of a name.

    Raises:
        Unreachable: no connection, no answer in time, or the proxy refuses.
        BadCertificate: the peer's certificate does not hold for its name.
        BadResponse: the answer is not HTTP, or longer than `limit` bytes.
        InvalidEndpoint: the peer's name or the request's target cannot be sent.
    """
    connection = _Connection(peer, context, timeout)
    try:
        connection.request(
            request.method,
            request.target,
            request.body,
            {"User-Agent": "piavpn", "Connection": "close", **request.headers},
        )
        with connection.getresponse() as answer:
            return _read(peer, answer, limit)
    except ssl.SSLCertVerificationError as error:
        raise errors.BadCertificate(
            f"the certificate of {peer} is refused: {error.verify_message}"
        ) from error
    except OSError as error:
        raise errors.Unreachable(f"{peer} cannot be reached: {dial.why(error, timeout)}") from error
    except (http.client.InvalidURL, UnicodeError):
        # Its text would hold the query, and with it the token.
        raise errors.InvalidEndpoint(
            f"the host name or the path of a request to {peer.name!r} is not valid"
        ) from None
    except http.client.HTTPException as error:
        raise errors.BadResponse(
            f"{peer} gives no whole HTTP answer ({type(error).__name__})"
        ) from error
    finally:
        connection.close()


def public(  # noqa: PLR0913 - what a request may need
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    document: object = None,
    headers: Mapping[str, str] | None = None,
    ca_bundle: str | None,
    timeout: float,
    limit: int = DEFAULT_LIMIT,
) -> Response:
    """Get the URL from one of PIA's web hosts, or post a form or a JSON document to it.

    The answer is PIA's own, of whatever status.

    Raises:
        Unreachable: as `exchange`; or a redirect, a server's error, a web page.
        PiaError: as `exchange`.
    """
    peer, target = split(url)
    try:
        response = exchange(
            peer,
            _request(target, form, document, headers or {}),
            context=tls.public_context(ca_bundle),
            timeout=timeout,
            limit=limit,
        )
    except errors.BadCertificate as error:
        raise errors.BadCertificate(
            f"{error}; if the network inspects TLS, set spec.endpoints.publicCABundle"
        ) from error
    if trouble := _trouble(response):
        raise errors.Unreachable(f"{peer} {trouble}")
    return response


class _DeadlineSocket(ssl.SSLSocket):
    """A socket whose reads end at one deadline, so that a trickle cannot hold us for ever."""

    deadline: float

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:  # noqa: ANN401 - any writable buffer
        self.settimeout(dial.remaining(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


class _Connection(http.client.HTTPSConnection):
    """A connection to a peer by its name, dialled at its address or through its proxy."""

    def __init__(self, peer: Peer, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(peer.name, peer.port, timeout=timeout, context=context)
        self._peer = peer
        self._tls = context
        self._deadline = time.monotonic() + timeout

    def connect(self) -> None:
        raw = dial.dial(self._peer, self._deadline)
        try:
            raw.settimeout(dial.remaining(self._deadline))
            self._tls.sslsocket_class = _DeadlineSocket
            wrapped = self._tls.wrap_socket(raw, server_hostname=self._peer.name)
        except BaseException:
            raw.close()
            raise
        self.sock = cast("_DeadlineSocket", wrapped)
        self.sock.deadline = self._deadline


def _read(peer: Peer, answer: http.client.HTTPResponse, limit: int) -> Response:
    body = answer.read(limit + 1)
    if len(body) > limit:
        raise errors.BadResponse(f"{peer} answers with more than {limit} bytes")
    if answer.length:  # read(n) takes a body that ends early for a whole one
        raise errors.Unreachable(f"{peer} ended its answer {answer.length} bytes too early")
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, headers, body)


def _trouble(response: Response) -> str | None:
    """Return what stands in the way of an answer of PIA's own; None when this is one."""
    status = response.status
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return (
            f"redirects (HTTP {status}), and a redirect is not followed with an account's secrets;"
            " correct the URL in spec.endpoints"
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"has a fault of its own (HTTP {status})"
    own = status in (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS)
    if response.is_web_page and not own:
        return (
            f"is answered for by a web page (HTTP {status}): a firewall or a captive portal"
            " may stand in the way"
        )
    return None


def _request(
    target: str, form: Mapping[str, str] | None, document: object, headers: Mapping[str, str]
) -> Request:
    if form is not None:
        body, kind = urllib.parse.urlencode(form), "application/x-www-form-urlencoded"
    elif document is not None:
        body, kind = json.dumps(document), "application/json"
    else:
        return Request("GET", target, headers=headers)
    return Request("POST", target, body.encode("ascii"), {"Content-Type": kind, **headers})


def split(url: str) -> tuple[Peer, str]:
    """Return the URL's host and port, and its path with the query.

    Raises:
        InvalidEndpoint: it is no https:// URL.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _HTTPS_PORT
    except ValueError as error:
        raise errors.InvalidEndpoint(f"{url!r} is not a URL: {error}") from error
    if parts.scheme != "https" or not parts.hostname:
        raise errors.InvalidEndpoint(f"{url!r} is not an https:// URL")
    query = f"?{parts.query}" if parts.query else ""
    return Peer(parts.hostname, port), (parts.path or "/") + query
