"""A machine of the LAN: beside the nodes, on their network, and none of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from harness import nodes, waiting

_CONTAINER = f"{os.environ.get('PIAVPN_CLUSTER', 'piavpn')}-fakepia"

_SERVE = """
import socketserver, sys
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"the LAN\\n")
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("", int(sys.argv[1])), Answer).serve_forever()"""
_ASK = """
import socket, sys
kind, host, port = sys.argv[1:]
with socket.socket(type=getattr(socket, f"SOCK_{kind}")) as s:
    s.settimeout(5)
    try:
        s.connect((host, int(port)))
        s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
        answer = b""
        while part := s.recv(4096):
            answer += part
            if kind == "DGRAM": break
        print(answer.decode().split()[-1])
    except OSError as error:
        print("failed:", error)
"""


def address() -> str:
    """Return its address."""
    return nodes.address_of(_CONTAINER)


def tcp(host: str, port: int) -> str:
    """Ask by TCP and return the last word of the answer; a refusal comes back as `failed: ...`."""
    return _python(_ASK, "STREAM", host, str(port))


def udp(host: str, port: int) -> str:
    """Ask by UDP and return the last word of the answer; a refusal comes back as `failed: ...`."""
    return _python(_ASK, "DGRAM", host, str(port))


@contextlib.contextmanager
def route_to(address_: str, node: str) -> Iterator[None]:
    """Reach this address by a node, as where a load balancer has it announced by that one."""
    _docker("exec", _CONTAINER, "ip", "route", "replace", address_, "via", nodes.address_of(node))
    try:
        yield
    finally:
        _docker("exec", _CONTAINER, "ip", "route", "delete", address_)


@contextlib.contextmanager
def serving(port: int) -> Iterator[None]:
    """Have it answer `the LAN` at this port."""
    command = ("docker", "exec", "-i", _CONTAINER, "python3", "-c", _SERVE, str(port))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            waiting.eventually(lambda: tcp(address(), port) == "LAN", "the LAN's server answers")
            yield
        finally:
            server.kill()
            _docker("exec", _CONTAINER, "sh", "-c", _END.format(port=port))


# `docker exec` ends without the program that it started.
_END = (
    "for p in /proc/[0-9]*; do [ $p != /proc/$$ ] && tr '\\0' ' ' <$p/cmdline 2>/dev/null"
    " | grep -q 'socketserver.* {port} $' && kill ${{p#/proc/}}; done; true"
)


def _python(code: str, *arguments: str) -> str:
    return _docker("exec", _CONTAINER, "python3", "-c", code, *arguments).strip()


def _docker(*arguments: str) -> str:
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout
