"""Tell one client its port, and say by the exit code whether to try again."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence

from piavpn.hook import deluge, qbittorrent, transmission
from piavpn.hook.news import News, listens
from piavpn.hook.web import GiveUpError, Login, NotYetError, Web

SECRET = pathlib.Path("/run/piavpn-hook-secret")
AGAIN, GIVE_UP = 1, 78
"""Exit codes; the second one is EX_CONFIG of sysexits.h, and known to the hook's loop."""
_LISTEN_SECONDS = 5.0
_CLIENTS = {
    "qBittorrent": qbittorrent.tell,
    "Transmission": transmission.tell,
    "Deluge": deluge.tell,
}


def run(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    secret: pathlib.Path = SECRET,
) -> int:
    """Tell the client that the arguments name, and its web port; return the exit code.

    Args:
        arguments: the client and the port of its web interface; None for the program's own.
        environment: has PORT and TARGET_IP, as the hook's loop sets them.
        secret: where the kubelet shows the client's Secret.
    """
    client, web_port = sys.argv[2:] if arguments is None else arguments
    news = News(int(environment["PORT"]), environment["TARGET_IP"])
    try:
        _CLIENTS[client](Web(int(web_port)), _login(secret), news)
        _await_listener(news.port)
    except NotYetError as error:
        return _failed(client, news, error, AGAIN)
    except GiveUpError as error:
        return _failed(client, news, error, GIVE_UP)
    sys.stderr.write(f"{client} listens on port {news.port}\n")
    return 0


def _await_listener(port: int) -> None:
    deadline = time.monotonic() + _LISTEN_SECONDS
    while not listens(port):
        if time.monotonic() > deadline:
            raise NotYetError("it took the port and does not listen there")
        time.sleep(0.1)


def _login(secret: pathlib.Path) -> Login:
    return Login(_text(secret / "username"), _text(secret / "password"))


def _text(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError:
        return ""


def _failed(client: str, news: News, error: Exception, code: int) -> int:
    sys.stderr.write(f"{client} was not told port {news.port}: {error}\n")
    return code
