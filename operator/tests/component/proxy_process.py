"""The gateway's HTTP proxy, run as its container would run it, and clients of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import gateway_process
import namespaces
from gateway_world import NETWORK, POD_ADDRESS, World

from piavpn.api import names, piavpns
from piavpn.controller import build_proxy

PROXY = piavpns.HttpProxy()
THROUGH = f"--proxy http://{POD_ADDRESS}:{PROXY.port} --silent --show-error --max-time 5"
_ECHO = 7


@contextlib.contextmanager
def running(world: World) -> Iterator[None]:
    """Run it as its container would: a user of its own without rights, and these files."""
    for name, text in build_proxy.files(PROXY, NETWORK).items():
        (world.folder / name).write_text(text)
    binds = gateway_process.mounts({world.folder: "/run/world"})
    user = str(names.HTTP_PROXY_USER)
    command = (
        f"{binds} && mount --bind /run/world/{build_proxy.RESOLVERS} /etc/resolv.conf"
        f" && exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs"
        f" --bounding-set=-all --inh-caps=-all {namespaces.tool('tinyproxy')}"
        f" -d -c /run/world/{build_proxy.CONFIGURATION}"
    )
    with world.pod.process("unshare", "--mount", "sh", "-c", command):
        yield


def asked(world: World, url: str, *, tunnelled: bool = False) -> str:
    """Return what comes of a request by the proxy: the body."""
    by_connect = " --proxytunnel" if tunnelled else ""
    return world.node.run(f"curl {THROUGH}{by_connect} {url}", check=False).strip()


def status(world: World, url: str) -> str:
    """Return the proxy's answer to CONNECT; 000 for none."""
    show = "--output /dev/null --write-out '%{http_connect}'"
    return world.node.run(f"curl {THROUGH} --proxytunnel {show} {url}", check=False).strip()


class Echo:
    """A connection through the proxy to who sends all back."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def answers(self, line: bytes) -> bool:
        """Tell whether a line comes back."""
        try:
            self._connection.sendall(line)
            return self._connection.recv(len(line), socket.MSG_WAITALL) == line
        except OSError:
            return False


@contextlib.contextmanager
def echo(world: World, host: str) -> Iterator[Echo]:
    """Connect to a host's echo service."""
    with world.node.entered():
        connection = socket.create_connection((POD_ADDRESS, PROXY.port), 5)
    with connection:
        connection.sendall(f"CONNECT {host}:{_ECHO} HTTP/1.1\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert b" 200 " in head, head
        yield Echo(connection)
