"""Transmission, by its RPC (Transmission 2.80 and newer)."""

from __future__ import annotations

import base64
import http
import json
from collections.abc import Mapping
from typing import Any

from piavpn.hook.news import News
from piavpn.hook.web import GiveUpError, Login, NotYetError, Web

_PATH = "/transmission/rpc"
_SESSION = "X-Transmission-Session-Id"


def tell(web: Web, login: Login, news: News) -> None:
    """Have Transmission listen on the port. Its link is its own setting: bind-address-ipv4.

    Raises:
        GiveUpError: it refuses the login, or whoever asks from localhost.
        NotYetError: it does not answer, or did not take the port.
    """
    headers = {"Content-Type": "application/json", **_authorization(login)}
    wanted = {
        "peer-port": news.port,
        "peer-port-random-on-start": False,
        "port-forwarding-enabled": False,
    }
    _call(web, headers, "session-set", wanted)
    found = _call(web, headers, "session-get", {"fields": ["peer-port"]})
    if found.get("peer-port") != news.port:
        raise NotYetError(f"it still has port {found.get('peer-port')}")


def _authorization(login: Login) -> dict[str, str]:
    if not login.given:
        return {}
    pair = f"{login.username}:{login.password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _call(
    web: Web, headers: dict[str, str], method: str, arguments: Mapping[str, object]
) -> dict[str, Any]:
    body = json.dumps({"method": method, "arguments": arguments})
    answer = web.post(_PATH, body, headers)
    if answer.status == http.HTTPStatus.CONFLICT:  # its guard against requests of other sites
        headers[_SESSION] = answer.headers.get(_SESSION.lower(), "")
        answer = web.post(_PATH, body, headers)
    if answer.status == http.HTTPStatus.UNAUTHORIZED:
        raise GiveUpError(
            "it refuses user name or password: correct the Secret of "
            "onPortForwarded.clientSecretRef"
        )
    if answer.status == http.HTTPStatus.FORBIDDEN:
        raise GiveUpError("its rpc-whitelist lacks 127.0.0.1, or it had too many failed logins")
    found = answer.json()
    if not answer.is_fine or found.get("result") != "success":
        raise NotYetError(f"{method}: {found.get('result')} (HTTP {answer.status})")
    return dict(found.get("arguments") or {})
