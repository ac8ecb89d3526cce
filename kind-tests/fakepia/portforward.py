"""PIA's port forwarding API: signatures that hold on every server, ports bound at one.

A server answers on port 19999, at its vip and its public address, to its own peers in the tunnel,
and refuses who calls from outside it. A bound port is forwarded to the peer until the bindings stop
being renewed.
"""

import base64
import datetime as dt
import json
import logging
import secrets
import threading
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fakepia import accounts, failures, rules, vpnserver, web

_log = logging.getLogger(__name__)

_FIRST_PORT, _LAST_PORT = 20000, 59999


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds that a binding and a signature last. PIA asks to bind every 15 minutes."""

    binding: int = 20 * 60
    signature: int = 62 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Binding:
    """A port of a server that is forwarded to a peer."""

    port: int
    account: str
    peer: str
    ends: dt.datetime


class PortBook:
    """What is common to all servers: which port belongs to which account, signed."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.lifetimes = Lifetimes()
        self._key = key
        self._lock = threading.Lock()
        self._owners: dict[int, str] = {}

    def sign(self, account: str, token: str) -> tuple[str, str]:
        """Give a new port to `account`: payload and signature, both in base64."""
        with self._lock:
            port = self._free_port()
            self._owners[port] = account
        ends = _now() + dt.timedelta(seconds=self.lifetimes.signature)
        # Nine digits, as PIA's clock has.
        expires_at = f"{ends:%Y-%m-%dT%H:%M:%S.%f}{secrets.randbelow(1000):03}Z"
        document = {"token": token, "port": port, "expires_at": expires_at}
        payload = json.dumps(document).encode()
        signature = self._key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(payload).decode(), base64.b64encode(signature).decode()

    def port(self, payload: str, signature: str, account: str) -> int:
        """Give the port of a payload.

        Raises:
            ValueError: the signature is wrong, has expired or is another account's.
        """
        content = base64.b64decode(payload, validate=True)
        try:
            self._key.public_key().verify(
                base64.b64decode(signature, validate=True),
                content,
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise ValueError("the signature is wrong") from None
        document = json.loads(content)
        if dt.datetime.fromisoformat(document["expires_at"]) <= _now():
            raise ValueError("the signature has expired")
        port = int(document["port"])
        with self._lock:
            # A port that this process did not give was given before a restart.
            if self._owners.setdefault(port, account) != account:
                raise ValueError("the port is another account's")
        return port

    def _free_port(self) -> int:
        while True:
            port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
            if port not in self._owners:
                return port


class PortForwarding:
    """The API of one server."""

    def __init__(
        self,
        server: vpnserver.VpnServer,
        book: PortBook,
        known: accounts.Accounts,
        switchboard: failures.Switchboard,
    ) -> None:
        self._server = server
        self._book = book
        self._accounts = known
        self._switchboard = switchboard
        self._lock = threading.Lock()
        self._bindings: dict[int, Binding] = {}

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The ports that are forwarded at this moment."""
        return tuple(one for one in self._bindings.values() if one.ends > _now())

    def __call__(self, request: web.Request) -> web.Reply | None:
        """Answer a request; only peers, known by their addresses in the tunnel, are served."""
        peer = next((one for one in self._server.peers if str(one.address) == request.client), None)
        match self._switchboard.current.port_forward_at(self._server.server):
            case failures.PortForward.HANG as failing:
                self._switchboard.wait_while(
                    lambda now: now.port_forward_at(self._server.server) is failing
                )
                return None
            case failures.PortForward.HTTP_500:
                return web.server_error()
            case failures.PortForward.UNAUTHORIZED:
                peer = None
        if peer is None:
            document = {"status": "ERROR", "message": "Unauthorized client"}
            return web.json_reply(document, status=401)
        match request.method, request.path:
            case "GET", "/getSignature":
                return self._get_signature(request)
            case "GET", "/bindPort":
                return self._bind_port(request, peer)
            case _:
                return web.text_reply("404 page not found", status=404)

    def _get_signature(self, request: web.Request) -> web.Reply:
        token = request.query.get("token", "")
        if not token:
            return _error("no auth data")
        account = self._accounts.owner(token)
        if account is None:
            return _error("Login failed!")
        payload, signature = self._book.sign(account, token)
        _log.info("getSignature at %s from %s", self._server.server.cn, request.client)
        return web.json_reply({"status": "OK", "payload": payload, "signature": signature})

    def _bind_port(self, request: web.Request, peer: vpnserver.Peer) -> web.Reply:
        payload, signature = request.query.get("payload", ""), request.query.get("signature", "")
        try:
            port = self._book.port(payload, signature, peer.account)
        except (ValueError, KeyError, TypeError) as error:
            return _error(str(error))
        failing = self._switchboard.current.port_forward_at(self._server.server)
        if failing is failures.PortForward.BUSY:
            return _busy(port)
        is_new = self._bind(port, peer)
        _log.info("bindPort %d at %s for %s", port, self._server.server.cn, peer.address)
        message = "port scheduled for add" if is_new else "timer refreshed"
        return web.json_reply({"status": "OK", "message": message})

    def _bind(self, port: int, peer: vpnserver.Peer) -> bool:
        """Forward `port` to `peer` anew and tell whether it was not before."""
        seconds = self._book.lifetimes.binding
        ends = _now() + dt.timedelta(seconds=seconds)
        binding = Binding(port, peer.account, str(peer.address), ends)
        with self._lock:
            is_new = not any(one.port == port and one.peer == binding.peer for one in self.bindings)
            known = self._bindings.get(port, binding)
            change = rules.forward_port(port, known.peer, peer.address, seconds)
            self._server.namespace.run("nft", "-f", "-", stdin=change)
            self._bindings[port] = binding
        return is_new


def _error(message: str) -> web.Reply:
    return web.json_reply({"status": "ERROR", "message": message})


def _busy(port: int) -> web.Reply:
    message = f"Port {port} is busy. Please use another server"
    return web.json_reply({"status": "", "message": message}, status=409)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
