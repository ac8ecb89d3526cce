"""Deluge, by the JSON-RPC of its web interface (Deluge 2)."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from piavpn.hook.news import LINK, News
from piavpn.hook.web import GiveUpError, Login, NotYetError, Web

_CONNECT_SECONDS = 10.0


def tell(web: Web, login: Login, news: News) -> None:
    """Have Deluge listen on the port at its address in the tunnel, and dial out by it alone.

    Raises:
        GiveUpError: it refuses the password.
        NotYetError: it does not answer, has no daemon, or did not take the port.
    """
    rpc = _Rpc(web)
    if not rpc.call("auth.login", login.password):
        raise GiveUpError(
            "it refuses the password: correct the Secret of onPortForwarded.clientSecretRef"
        )
    if not rpc.call("web.connected"):
        _connect(rpc)
    wanted = {
        "random_port": False,
        "listen_ports": [news.port, news.port],
        "listen_interface": news.address,
        "outgoing_interface": LINK,
        "upnp": False,
        "natpmp": False,
    }
    rpc.call("core.set_config", wanted)
    found = rpc.call("core.get_listen_port")
    if found != news.port:
        raise NotYetError(f"it still listens on port {found}")


class _Rpc:
    """The calls of one login."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._cookie: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def call(self, method: str, *parameters: object) -> Any:  # noqa: ANN401 - any JSON
        body = {"method": method, "params": parameters, "id": next(self._numbers)}
        headers = {"Content-Type": "application/json", **self._cookie}
        answer = self._web.post("/json", json.dumps(body), headers)
        self._cookie = answer.cookie or self._cookie
        found = answer.json()
        if not answer.is_fine or found.get("error"):
            message = (found.get("error") or {}).get("message", "no reason given")
            raise NotYetError(f"{method}: {message} (HTTP {answer.status})")
        return found.get("result")


def _connect(rpc: _Rpc) -> None:
    """Have the web interface connect to its first daemon."""
    hosts = rpc.call("web.get_hosts")
    if not hosts:
        raise NotYetError("its web interface knows no daemon: add one there")
    rpc.call("web.connect", hosts[0][0])
    deadline = time.monotonic() + _CONNECT_SECONDS
    while not rpc.call("web.connected"):
        if time.monotonic() > deadline:
            raise NotYetError("its web interface does not reach the daemon")
        time.sleep(0.2)
