"""qBittorrent, by its web API (2.x, of qBittorrent 4.1 and newer)."""

from __future__ import annotations

import http
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from piavpn.hook.news import LINK, News
from piavpn.hook.web import Answer, GiveUpError, Login, NotYetError, Web

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MOST_PORT = 65535


def tell(web: Web, login: Login, news: News) -> None:
    """Have qBittorrent listen on the port, through the tunnel's link alone.

    It does nothing about a port that it has already, also when that no longer works, as after a
    change of server: so another one is set first.

    Raises:
        GiveUpError: it refuses the login; more of them would get the pod's address banned.
        NotYetError: it does not answer, or did not take the port.
    """
    session = _log_in(web, login) if login.given else {}
    if _preferences(web, session).get("listen_port") == news.port:
        _set(web, session, {"listen_port": news.port - 1 or _MOST_PORT})
    wanted = {
        "listen_port": news.port,
        "random_port": False,
        "upnp": False,
        "current_network_interface": LINK,
    }
    _set(web, session, wanted)
    found = _preferences(web, session)
    if found.get("listen_port") != news.port:
        raise NotYetError(f"it still has port {found.get('listen_port')}")


def _log_in(web: Web, login: Login) -> dict[str, str]:
    form = urllib.parse.urlencode({"username": login.username, "password": login.password})
    answer = web.post("/api/v2/auth/login", form, _FORM)
    if answer.status == http.HTTPStatus.FORBIDDEN:
        raise GiveUpError(
            "it has banned this pod after too many failed logins: correct the Secret of "
            "onPortForwarded.clientSecretRef, and restart the app or wait for the ban's end"
        )
    if answer.status == http.HTTPStatus.UNAUTHORIZED or answer.text == "Fails.":
        raise GiveUpError(
            "it refuses user name or password: correct the Secret of "
            "onPortForwarded.clientSecretRef"
        )
    _require_fine(answer, "the login")
    return answer.cookie


def _preferences(web: Web, session: Mapping[str, str]) -> dict[str, Any]:
    answer = web.get("/api/v2/app/preferences", session)
    if answer.status == http.HTTPStatus.FORBIDDEN:
        raise GiveUpError(
            "it wants a login: name a Secret in onPortForwarded.clientSecretRef, or have it let "
            "localhost in without"
        )
    _require_fine(answer, "its preferences")
    found: dict[str, Any] = answer.json()
    return found


def _set(web: Web, session: Mapping[str, str], preferences: Mapping[str, object]) -> None:
    form = urllib.parse.urlencode({"json": json.dumps(preferences)})
    _require_fine(web.post("/api/v2/app/setPreferences", form, {**_FORM, **session}), "the port")


def _require_fine(answer: Answer, what: str) -> None:
    if not answer.is_fine:
        raise NotYetError(f"{what}: it answers HTTP {answer.status}")
