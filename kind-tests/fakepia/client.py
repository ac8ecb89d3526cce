"""A client of the control API, for tests."""

import contextlib
import datetime as dt
import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fakepia import world

TIMEOUT_SECONDS = 15.0


class ControlError(Exception):
    """The stand-in refused a command; the message says why."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a client of PIA has to be told to use the stand-in; the bundles and key are PEM."""

    token_url: str
    status_url: str
    server_list_url: str
    server_list_public_key: str
    ca_bundle: str
    public_ca_bundle: str


@dataclass(frozen=True, slots=True)
class Login:
    """A login; `result` is `issued` or the failure that it met."""

    time: dt.datetime
    source: str
    username: str
    result: str


@dataclass(frozen=True, slots=True)
class AddKeyCall:
    """A call of addKey; `result` is `ok` or the failure that it met."""

    time: dt.datetime
    source: str
    result: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer of a server; `latest_handshake` and `endpoint` are None before the first one.

    `endpoint` is where its encrypted packets came from last, as `address:port`.
    """

    public_key: str
    address: str
    account: str
    registered: dt.datetime
    endpoint: str | None
    latest_handshake: dt.datetime | None
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server's state; `namespace` is a path in the stand-in's process, for nsenter."""

    address: str
    namespace: str
    public_key: str
    peers: tuple[Peer, ...]
    add_key_calls: tuple[AddKeyCall, ...]
    resolver_queries: int
    forwarded_ports: Mapping[int, str]
    """Peer address by port."""


@dataclass(frozen=True, slots=True)
class State:
    """What happened since the last reset, and how the servers are; `servers` by CN."""

    tokens_issued: int
    tokens_valid: int
    logins: tuple[Login, ...]
    servers: Mapping[str, Server]


@dataclass(frozen=True, slots=True)
class Leak:
    """Packets that reached the Internet by another way than a tunnel."""

    source: str
    destination: str
    protocol: str
    source_port: int | None
    destination_port: int | None
    packets: int
    first_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class Leaks:
    """All leaks; `packets` is their sum and counts also what is no longer listed."""

    packets: int
    leaks: tuple[Leak, ...]


class Client:
    """Speaks to the control API over connections that `connect` opens."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect

    @classmethod
    def at(cls, address: str) -> "Client":
        """Give a client of the stand-in at `address`."""
        return cls(lambda: socket.create_connection((address, world.CONTROL_PORT), TIMEOUT_SECONDS))

    def endpoints(self) -> Endpoints:
        """Ask what a client of PIA has to be told."""
        told = self.call("GET", "/endpoints")
        return Endpoints(
            token_url=told["tokenURL"],
            status_url=told["statusURL"],
            server_list_url=told["serverListURL"],
            server_list_public_key=told["serverListPublicKey"],
            ca_bundle=told["caBundle"],
            public_ca_bundle=told["publicCABundle"],
        )

    def state(self) -> State:
        """Ask for logins, tokens and servers."""
        return _state(self.call("GET", "/state"))

    def fail(self, patch: Mapping[str, Any]) -> None:
        """Set the failures that `patch` names and clear those that it holds None for."""
        self.call("POST", "/fail", patch)

    @contextlib.contextmanager
    def failing(self, patch: Mapping[str, Any]) -> Iterator[None]:
        """Have these failures for the time of a block, and those of before it afterwards."""
        before = self.call("GET", "/fail")
        self.fail(patch)
        try:
            yield
        finally:
            self.fail(dict.fromkeys(patch))
            self.fail(before)

    def accept_credentials(self, username: str, password: str) -> None:
        """Let `username` log in with `password` and no other one."""
        self.call("POST", "/credentials", {"username": username, "password": password})

    def revoke_tokens(self) -> int:
        """Make all tokens void and give their number."""
        return int(self.call("POST", "/revoke-tokens")["revoked"])

    def forget_peers(self, server: str = "*") -> int:
        """Have a server (by CN; `*`: all) lose its peers, as a reboot does; give their number."""
        return int(self.call("POST", "/forget-peers", {"server": server})["forgotten"])

    def set_port_forwarding(self, *, binding_seconds: int, signature_seconds: int) -> None:
        """Set how long a binding and a signature last from now on."""
        lifetimes = {"bindingSeconds": binding_seconds, "signatureSeconds": signature_seconds}
        self.call("POST", "/port-forwarding", lifetimes)

    def connect(self, address: str, port: int, protocol: str, payload: str) -> str | None:
        """Have the Internet dial `address` by `tcp` or `udp`; give the answer, None: there is none.

        The answer is the first thing that came back within 5 s. Payload and answer are bytes, one a
        character (latin-1).
        """
        dialled = {"address": address, "port": port, "protocol": protocol, "payload": payload}
        answer = self.call("POST", "/connect", dialled)["answer"]
        return None if answer is None else str(answer)

    def mark_leaks(self) -> int:
        """Remember this moment and give its number, for `leaks`."""
        return int(self.call("POST", "/leaks/mark")["marker"])

    def leaks(self, since: int | None = None) -> Leaks:
        """Ask for the leaks after the moment numbered `since` (None: since the last reset)."""
        query = "" if since is None else f"?since={since}"
        told = self.call("GET", f"/leaks{query}")
        return Leaks(told["packets"], tuple(_leak(one) for one in told["leaks"]))

    def reset_leaks(self) -> None:
        """Forget all leaks and marks."""
        self.call("POST", "/leaks/reset")

    def reset(self) -> None:
        """Clear failures and records; tokens, peers and tunnels stay as they are."""
        self.call("POST", "/reset")

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a command and give the answer.

        Raises:
            ControlError: it was refused.
            OSError: nobody answers.
        """
        connection = http.client.HTTPConnection("fakepia", timeout=TIMEOUT_SECONDS)
        connection.sock = self._connect()
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            document = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ControlError(document["error"])
        return dict(document)


def _state(told: Mapping[str, Any]) -> State:
    return State(
        tokens_issued=told["tokensIssued"],
        tokens_valid=told["tokensValid"],
        logins=tuple(
            Login(_time(one["time"]), one["source"], one["username"], one["result"])
            for one in told["logins"]
        ),
        servers={cn: _server(one) for cn, one in told["servers"].items()},
    )


def _server(told: Mapping[str, Any]) -> Server:
    return Server(
        address=told["address"],
        namespace=told["namespace"],
        public_key=told["publicKey"],
        peers=tuple(_peer(one) for one in told["peers"]),
        add_key_calls=tuple(
            AddKeyCall(_time(one["time"]), one["source"], one["result"])
            for one in told["addKeyCalls"]
        ),
        resolver_queries=told["resolverQueries"],
        forwarded_ports={one["port"]: one["peerIP"] for one in told["forwardedPorts"]},
    )


def _peer(told: Mapping[str, Any]) -> Peer:
    handshake = told["latestHandshakeTime"]
    return Peer(
        public_key=told["publicKey"],
        address=told["peerIP"],
        account=told["account"],
        registered=_time(told["registeredTime"]),
        endpoint=told["endpoint"],
        latest_handshake=None if handshake is None else _time(handshake),
        received_bytes=told["receivedBytes"],
        sent_bytes=told["sentBytes"],
    )


def _leak(told: Mapping[str, Any]) -> Leak:
    return Leak(
        source=told["source"],
        destination=told["destination"],
        protocol=told["protocol"],
        source_port=told["sourcePort"],
        destination_port=told["destinationPort"],
        packets=told["packets"],
        first_seen=_time(told["firstSeen"]),
    )


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
