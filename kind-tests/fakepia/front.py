"""PIA's website: the token API and the signed server list."""

import datetime as dt
import email
import email.policy
import json
import logging
import urllib.parse
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import rsa

from fakepia import accounts, dedicated, failures, serverlist, web, world

_log = logging.getLogger(__name__)


class Front:
    """The application behind www.privateinternetaccess.com and serverlist.piaservers.net."""

    def __init__(
        self,
        known: accounts.Accounts,
        switchboard: failures.Switchboard,
        list_key: rsa.RSAPrivateKey,
        reaches: Callable[[str, int], bool],
    ) -> None:
        """Serve them; `reaches` tells whether the Internet gets through to an address and port."""
        self._accounts = known
        self._switchboard = switchboard
        self._list_key = list_key
        self._reaches = reaches

    def __call__(self, request: web.Request) -> web.Reply | None:  # noqa: PLR0911 - one a path
        """Answer a request."""
        match request.method, request.path:
            case "POST", "/api/client/v2/token":
                return self._log_in(request)
            case "POST", "/api/client/v2/expire_token":
                return self._expire_token(request)
            case "POST", "/api/client/v2/dedicated_ip":
                return self._dedicated_ips(request)
            case "GET", "/api/client/status":
                return _status(request)
            case "GET", path if path.startswith("/port/"):
                return self._port(request.client, path.removeprefix("/port/"))
            case "GET", "/vpninfo/servers/v6":
                return self._server_list(request)
            case _:
                return web.text_reply("404 page not found", status=404)

    def _log_in(self, request: web.Request) -> web.Reply | None:
        form = credentials(request)
        username = form.get("username", "")
        reply, result = self._login_reply(username, form.get("password", ""))
        now = dt.datetime.now(dt.UTC)
        self._accounts.record(accounts.LoginRecord(now, request.client, username, result))
        _log.info("login of %r from %s: %s", username, request.client, result)
        return reply

    def _login_reply(self, username: str, password: str) -> tuple[web.Reply | None, str]:
        failing = self._switchboard.current
        match failing.login:
            case failures.Login.HANG:
                self._switchboard.wait_while(lambda now: now.login is failures.Login.HANG)
                return None, failures.Login.HANG
            case failures.Login.RATE_LIMITED:
                return _too_many_attempts(failing.retry_after), failures.Login.RATE_LIMITED
            case failures.Login.EXPIRED_SUBSCRIPTION:
                return web.json_reply({"status": "error"}, status=402), failing.login
            case failures.Login.HTTP_500:
                return web.server_error(), failures.Login.HTTP_500
        if failing.login or not self._accounts.knows(username, password):
            return _access_denied(), failures.Login.DENIED
        return web.json_reply({"token": self._accounts.issue_token(username)}), "issued"

    def _expire_token(self, request: web.Request) -> web.Reply:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Token" or not self._accounts.revoke(token.strip()):
            return _access_denied()
        _log.info("token expired from %s", request.client)
        return web.json_reply({"status": "success"})

    def _dedicated_ips(self, request: web.Request) -> web.Reply:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Token" or self._accounts.owner(token.strip()) is None:
            return _access_denied()
        asked = json.loads(request.body)["tokens"]
        now, failing = dt.datetime.now(dt.UTC), self._switchboard.current
        return web.json_reply([dedicated.listed(one, failing, now) for one in asked])

    def _server_list(self, request: web.Request) -> web.Reply | None:
        failing = self._switchboard.current
        _log.info("server list for %s: %s", request.client, failing.server_list or "given")
        match failing.server_list:
            case failures.ServerList.HANG:
                self._switchboard.wait_while(
                    lambda now: now.server_list is failures.ServerList.HANG
                )
                return None
            case failures.ServerList.HTTP_500:
                return web.server_error()
        regions = [one for one in world.REGIONS if one.id != failing.missing_region]
        body = serverlist.document(regions)
        if failing.server_list is failures.ServerList.BAD_SIGNATURE:
            genuine = serverlist.signature(body + b" ", self._list_key)
            return web.Reply(200, body + b"\n\n" + genuine, "text/plain")
        return web.Reply(200, serverlist.signed(body, self._list_key), "text/plain")

    def _port(self, client: str, number: str) -> web.Reply:
        """Tell a client whether its port is open, as echoip does."""
        reachable = number.isdecimal() and self._reaches(client, int(number))
        return web.json_reply({"ip": client, "port": int(number), "reachable": reachable})


def _status(request: web.Request) -> web.Reply:
    """Tell a client its address, and whether it is one of a server's: it comes by a tunnel then."""
    ours = any(str(server.address) == request.client for server in world.SERVERS)
    return web.json_reply({"connected": ours, "ip": request.client})


def credentials(request: web.Request) -> dict[str, str]:
    """Read the fields of a login; PIA takes a urlencoded form, a multipart form and JSON."""
    content_type = request.headers.get("content-type", "")
    try:
        match content_type.partition(";")[0].strip().lower():
            case "application/json":
                return _json_fields(request.body)
            case "multipart/form-data":
                return _multipart_fields(content_type, request.body)
            case _:
                return dict(urllib.parse.parse_qsl(request.body.decode()))
    except ValueError:
        return {}


def _json_fields(body: bytes) -> dict[str, str]:
    document = json.loads(body)
    if not isinstance(document, dict):
        return {}
    return {str(name): str(value) for name, value in document.items()}


def _multipart_fields(content_type: str, body: bytes) -> dict[str, str]:
    message = email.message_from_bytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP
    )
    return {
        str(part.get_param("name", header="Content-Disposition")): part.get_content().strip()
        for part in message.iter_parts()
    }


def _access_denied() -> web.Reply:
    return web.text_reply("HTTP Token: Access denied.\n", status=401)


def _too_many_attempts(retry_after: int | None) -> web.Reply:
    document = {"status": "error", "code": "too_many_attempts", "message": "Try again later."}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_reply(document, status=429, headers=headers)
