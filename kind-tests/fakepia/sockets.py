"""Loops for plain sockets, each in threads of its own for the life of the process."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

_IDLE_SECONDS = 3600.0

Datagram = Callable[[bytes, str], bytes | None]
"""Gives the answer to a datagram from an address; None: no answer."""


def serve_udp(sock: socket.socket, answer: Datagram) -> None:
    """Answer datagrams, each in a thread of its own: a slow one holds up no other."""

    def handle(payload: bytes, client: tuple[str, int]) -> None:
        reply = answer(payload, client[0])
        if reply is not None:
            with contextlib.suppress(OSError):
                sock.sendto(reply, client)

    def loop() -> None:
        while True:
            payload, client = sock.recvfrom(65535)
            threading.Thread(target=handle, args=(payload, client), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def serve_tcp(listener: socket.socket, handle: Callable[[socket.socket, str], None]) -> None:
    """Hand each connection, with its client's address, to `handle`; close it afterwards."""

    def serve(connection: socket.socket, client: str) -> None:
        connection.settimeout(_IDLE_SECONDS)
        with connection, contextlib.suppress(OSError):
            handle(connection, client)

    def loop() -> None:
        while True:
            connection, client = listener.accept()
            threading.Thread(target=serve, args=(connection, client[0]), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def receive_message(connection: socket.socket) -> bytes | None:
    """Read a message with a length of two bytes before it, as DNS does; None: there is none."""
    header = connection.recv(2, socket.MSG_WAITALL)
    if len(header) < 2:
        return None
    (length,) = struct.unpack("!H", header)
    message = connection.recv(length, socket.MSG_WAITALL)
    return message if len(message) == length else None


def send_message(connection: socket.socket, message: bytes) -> None:
    """Send a message with its length before it."""
    connection.sendall(struct.pack("!H", len(message)) + message)
