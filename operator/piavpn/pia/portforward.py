"""Have a server forward a port to us: a signature for it, and bindings that must be renewed.

Source: pia-foss/manual-connections port_forwarding.sh. Both calls go through the tunnel, to the
server's address inside of it; from anywhere else they are refused. A signature belongs to the
account and holds on every server, so a kept one brings the same port back.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import json
import urllib.parse
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from piavpn.pia import calls, errors, https, tls

PORT = 19999
BIND_INTERVAL = timedelta(minutes=15)
"""After which a binding is renewed; PIA removes a port whose bindings are not."""
_MAX_PORT = 65535
_REFUSED_TOKENS = ("login failed!", "no auth data")


@dataclasses.dataclass(frozen=True, slots=True)
class SignedPort:
    """A port that PIA gave to the account. Payload and signature hold a token: they are secret."""

    payload: str = dataclasses.field(repr=False)
    """Base64, sent back exactly as it came."""
    signature: str = dataclasses.field(repr=False)
    port: int
    expires_at: datetime

    @classmethod
    def of(cls, payload: str, signature: str) -> SignedPort:
        """Return the port that a payload is about.

        Raises:
            ValueError: it is no such payload.
        """
        try:
            content = json.loads(base64.b64decode(payload, validate=True))
            port, expires_at = content["port"], datetime.fromisoformat(content["expires_at"])
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a port's payload") from error
        if type(port) is not int or not 0 < port <= _MAX_PORT or expires_at.tzinfo is None:
            raise ValueError("not a port's payload")
        return cls(payload, signature, port, expires_at)


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """The API of the server at the tunnel's other end."""

    cn: str
    """The WireGuard server's name, which its certificate bears."""
    server_vip: ipaddress.IPv4Address
    """Its address inside the tunnel. Several tunnels' servers may have the same one."""
    link: str
    """The tunnel's link: no other is used."""
    ca_bundle: str | None
    port: int = PORT

    @calls.counted("getSignature")
    def sign(self, token: str, *, timeout: float) -> SignedPort:
        """Ask for a new port (`getSignature`); `timeout` is in seconds for the whole call.

        Raises:
            PiaError: as `_call`.
        """
        response = self._call("getSignature", {"token": token}, timeout)
        answer = response.json_object()
        self._require_ok(response, "gives no port")
        try:
            return SignedPort.of(_text(answer["payload"]), _text(answer["signature"]))
        except (KeyError, TypeError, ValueError) as error:
            raise errors.BadResponse(f"{self._peer} gives a port that cannot be read") from error

    @calls.counted("bindPort")
    def bind(self, signed: SignedPort, *, timeout: float) -> None:
        """Have the port forwarded to our address in the tunnel (`bindPort`), or renew that.

        Raises:
            PortBusy: another port or another server is needed.
            SignatureRejected: another signature is needed.
            PiaError: as `_call`.
        """
        query = {"payload": signed.payload, "signature": signed.signature}
        response = self._call("bindPort", query, timeout)
        answer = response.json_object()
        if response.status == HTTPStatus.CONFLICT:
            raise errors.PortBusy(f"port {signed.port} is busy at {self._peer}")
        if answer.get("status") == "ERROR":
            raise errors.SignatureRejected(
                f"{self._peer} does not take the signature of port {signed.port}"
            )
        self._require_ok(response, f"does not bind port {signed.port}")

    @property
    def _peer(self) -> https.Peer:
        return https.Peer(self.cn, self.port, str(self.server_vip), link=self.link)

    def _call(self, method: str, query: Mapping[str, str], timeout: float) -> https.Response:
        """Return what was answered.

        Raises:
            TokenRejected: the token that is shown is not taken.
            Unauthorized: the server does not see the call coming out of a tunnel of its own.
            PortForwardingNotOffered: nothing listens there.
            Unreachable: no answer, or a fault of the server's own.
            BadCertificate: what answers there is not this server.
            BadResponse: the answer is not HTTP.
        """
        request = https.Request("GET", f"/{method}?{urllib.parse.urlencode(query)}")
        context = tls.pia_context(self.ca_bundle)
        try:
            response = https.exchange(self._peer, request, context=context, timeout=timeout)
        except errors.Unreachable as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise errors.PortForwardingNotOffered(
                    f"{self._peer} refuses the connection: PIA forwards no port there; name a "
                    "region that does in spec.serverLocation or spec.fallbackLocations"
                ) from error
            raise
        # Before the status: which one comes with these is not known.
        if "token" in query and _message(response.json_object()).lower() in _REFUSED_TOKENS:
            raise errors.TokenRejected(f"{self._peer} rejects the account's token")
        if response.status == HTTPStatus.UNAUTHORIZED:
            raise errors.Unauthorized(
                f"{self._peer} takes the call for one from outside the tunnel"
            )
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise errors.Unreachable(
                f"{self._peer} has a fault of its own (HTTP {response.status})"
            )
        return response

    def _require_ok(self, response: https.Response, otherwise: str) -> None:
        if response.status != HTTPStatus.OK or response.json_object().get("status") != "OK":
            raise errors.BadResponse(f"{self._peer} {otherwise} (HTTP {response.status})")


def _message(answer: Mapping[str, Any]) -> str:
    return str(answer.get("message", "")).strip()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
