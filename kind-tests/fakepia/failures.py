"""What is told to go wrong, by name, and the switchboard that holds it.

The document that tests send is a JSON merge patch (RFC 7386) of the failures in force: a name sets
a failure, null takes it away, names that are not sent stay as they are.
"""

import enum
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fakepia import world

EVERY = "*"
"""Stands for every server in a failure by server."""


class Login(enum.StrEnum):
    """What logins meet."""

    DENIED = "denied"
    RATE_LIMITED = "rate_limited"
    EXPIRED_SUBSCRIPTION = "expired_subscription"
    HANG = "hang"
    HTTP_500 = "http_500"


class ServerList(enum.StrEnum):
    """What requests for the server list meet. MISSING_REGION goes with a region."""

    BAD_SIGNATURE = "bad_signature"
    HANG = "hang"
    HTTP_500 = "http_500"
    MISSING_REGION = "missing_region"


class DedicatedIp(enum.StrEnum):
    """What PIA says of every dedicated IP."""

    EXPIRED = "expired"
    INVALID = "invalid"


class AddKey(enum.StrEnum):
    """What registrations at a server meet."""

    LOGIN_FAILED = "login_failed"
    REFUSE = "refuse"
    HANG = "hang"
    WRONG_CN = "wrong_cn"
    EXPIRED_CERT = "expired_cert"
    HTTP_500 = "http_500"


class Server(enum.StrEnum):
    """What happened to a server.

    DEAD drops every packet to and from it, silently. ISOLATED lets it answer, and reach nobody.
    """

    DEAD = "dead"
    ISOLATED = "isolated"


class PortForward(enum.StrEnum):
    """What calls of the port forwarding API meet."""

    BUSY = "busy"
    UNAUTHORIZED = "unauthorized"
    HANG = "hang"
    HTTP_500 = "http_500"


class InvalidFailureError(Exception):
    """The document names no failure that there is; the message tells what there is."""


_Choice = TypeVar("_Choice", bound=enum.StrEnum)


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures in force. `retry_after` (seconds) goes with a rate limited login."""

    login: Login | None = None
    retry_after: int | None = None
    server_list: ServerList | None = None
    missing_region: str | None = None
    dedicated_ip: DedicatedIp | None = None
    add_key: Mapping[str, AddKey] = field(default_factory=dict)
    servers: Mapping[str, Server] = field(default_factory=dict)
    port_forward: Mapping[str, PortForward] = field(default_factory=dict)

    def add_key_at(self, server: world.Server) -> AddKey | None:
        """Give what registrations at `server` meet."""
        return self.add_key.get(server.cn, self.add_key.get(EVERY))

    def port_forward_at(self, server: world.Server) -> PortForward | None:
        """Give what calls of the port forwarding API of `server` meet."""
        return self.port_forward.get(server.cn, self.port_forward.get(EVERY))

    def server_at(self, server: world.Server) -> Server | None:
        """Give what happened to `server`."""
        return self.servers.get(server.cn, self.servers.get(EVERY))


def parse(document: Mapping[str, Any]) -> Failures:
    """Read the whole document of failures.

    Raises:
        InvalidFailureError: it holds a name or a value that there is not.
    """
    known = {"login", "retryAfterSeconds", "list", "dedicatedIP", "addKey", "server", "portForward"}
    for name in document.keys() - known:
        raise InvalidFailureError(f"no failure is called {name!r}; there are {sorted(known)}")
    server_list, missing_region = _server_list(document.get("list"))
    return Failures(
        login=_choice(Login, document.get("login")),
        retry_after=_seconds(document.get("retryAfterSeconds")),
        server_list=server_list,
        missing_region=missing_region,
        dedicated_ip=_choice(DedicatedIp, document.get("dedicatedIP")),
        add_key=_by_server(AddKey, document.get("addKey")),
        servers=_by_server(Server, document.get("server")),
        port_forward=_by_server(PortForward, document.get("portForward")),
    )


def merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Give `document` changed by the JSON merge patch `patch`."""
    result = dict(document)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result


class Switchboard:
    """Holds the failures in force and wakes those who wait for one to end."""

    def __init__(self, on_change: Callable[[Failures], None]) -> None:
        self._changed = threading.Condition()
        self._document: dict[str, Any] = {}
        self._current = Failures()
        self._on_change = on_change

    @property
    def current(self) -> Failures:
        """The failures in force."""
        return self._current

    @property
    def document(self) -> dict[str, Any]:
        """The failures in force as sent."""
        return self._document

    def change(self, patch: Mapping[str, Any]) -> None:
        """Apply a merge patch.

        Raises:
            InvalidFailureError: the result is no document of failures; nothing changed.
        """
        with self._changed:
            self._set(merged(self._document, patch))

    def clear(self) -> None:
        """Take all failures away."""
        with self._changed:
            self._set({})

    def wait_while(self, holds: Callable[[Failures], bool]) -> None:
        """Wait until `holds` is false of the failures in force."""
        with self._changed:
            self._changed.wait_for(lambda: not holds(self._current))

    def _set(self, document: dict[str, Any]) -> None:
        failures = parse(document)
        self._on_change(failures)
        self._document, self._current = document, failures
        self._changed.notify_all()


def _choice(kind: type[_Choice], value: object) -> _Choice | None:
    if value is None:
        return None
    try:
        return kind(str(value))
    except ValueError:
        choices = ", ".join(kind)
        raise InvalidFailureError(f"{value!r} is none of: {choices}") from None


def _seconds(value: object) -> int | None:
    if value is None or (isinstance(value, int) and value >= 0):
        return value
    raise InvalidFailureError(f"retryAfterSeconds is {value!r}, not a number of seconds")


def _server_list(value: object) -> tuple[ServerList | None, str | None]:
    kind, _, region = str(value or "").partition(":")
    failure = _choice(ServerList, kind or None)
    ids = [one.id for one in world.REGIONS]
    if (failure is ServerList.MISSING_REGION) != bool(region) or (region and region not in ids):
        raise InvalidFailureError(f"{value!r}: missing_region:<id> takes one of {ids}")
    return failure, region or None


def _by_server(kind: type[_Choice], value: object) -> dict[str, _Choice]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidFailureError(f"{value!r} is no object of server (or '*') to failure")
    known = {EVERY, *(server.cn for server in world.SERVERS)}
    chosen = {}
    for cn, name in value.items():
        choice = _choice(kind, name)
        if cn not in known or choice is None:
            raise InvalidFailureError(f"no server is called {cn!r}; there are {sorted(known)}")
        chosen[cn] = choice
    return chosen
