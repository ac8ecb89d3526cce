"""The Internet's services: they tell who is asking, echo, and know names."""

import contextlib
import datetime as dt
import socket

from fakepia import names, namespaces, sockets, web, world

HTTP_PORT = 80
ECHO_PORT = 7
UDP_WHOAMI_PORT = 9


def start(namespace: namespaces.Namespace) -> None:
    """Serve in the Internet's namespace.

    TCP is served at the documentation addresses too, which lead there as well.

    Raises:
        OSError: an address or port cannot be had.
    """
    web.serve(namespace.listen("0.0.0.0", HTTP_PORT), who_am_i)
    sockets.serve_tcp(namespace.listen("0.0.0.0", ECHO_PORT), _echo_stream)
    sockets.serve_udp(namespace.bind_udp(world.WHOAMI, ECHO_PORT), lambda payload, _: payload)
    sockets.serve_udp(
        namespace.bind_udp(world.WHOAMI, UDP_WHOAMI_PORT), lambda _, client: client.encode()
    )
    names.serve_authoritative(namespace)


def who_am_i(request: web.Request) -> web.Reply:
    """Tell a client its address as seen here."""
    match request.path:
        case "/":
            return web.text_reply(f"{request.client}\n")
        case "/json":
            now = dt.datetime.now(dt.UTC).isoformat()
            return web.json_reply(
                {"address": request.client, "port": request.client_port, "time": now}
            )
        case _:
            return web.text_reply("404 page not found\n", status=404)


def dial(
    namespace: namespaces.Namespace, address: str, port: int, protocol: str, payload: bytes
) -> bytes | None:
    """Connect from the Internet to `address`, send `payload` and give the first answer.

    None: there was no answer within 5 s.

    Raises:
        OSError: nobody is there.
    """
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with namespace.connect(address, port, kind) as connection:
        connection.sendall(payload)
        with contextlib.suppress(TimeoutError):
            return connection.recv(65535)
    return None


def _echo_stream(connection: socket.socket, _: str) -> None:
    while chunk := connection.recv(65535):
        connection.sendall(chunk)
