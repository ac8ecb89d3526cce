"""The Internet's services: they tell who is asking, echo, know names, and take or give bytes."""

import contextlib
import datetime as dt
import socket

from fakepia import names, namespaces, sockets, web, world

HTTP_PORT = 80
ECHO_PORT = 7
UDP_WHOAMI_PORT = 9
DISCARD_PORT = 9
GENERATE_PORT = 19

_BLOCK_BYTES = 1 << 17


def start(namespace: namespaces.Namespace) -> None:
    """Serve in the Internet's namespace.

    TCP is served at the documentation addresses too, which lead there as well.

    Raises:
        OSError: an address or port cannot be had.
    """
    web.serve(namespace.listen("0.0.0.0", HTTP_PORT), who_am_i)
    sockets.serve_tcp(namespace.listen("0.0.0.0", ECHO_PORT), _echo_stream)
    sockets.serve_tcp(namespace.listen("0.0.0.0", DISCARD_PORT), _discard_stream)
    sockets.serve_tcp(namespace.listen("0.0.0.0", GENERATE_PORT), _generate_stream)
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


def _discard_stream(connection: socket.socket, _: str) -> None:
    """Discard what comes (RFC 863), and beyond that tell at its end how many bytes it was."""
    block, total = bytearray(_BLOCK_BYTES), 0
    while count := connection.recv_into(block):
        total += count
    connection.sendall(f"{total}\n".encode())


def _generate_stream(connection: socket.socket, _: str) -> None:
    """Send, as RFC 864 has it, until the client goes: then sending fails."""
    block = bytes(_BLOCK_BYTES)
    while True:
        connection.sendall(block)
