"""What an app does for long: a TCP stream, and echoes at a steady rate, counted."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator

from namespaces import Namespace

from fakepia import world

_ECHO = (str(world.WHOAMI), 7)
_PERIOD_SECONDS = 0.01
_ANSWER_SECONDS = 3.0


class Stream:
    """A TCP connection to the Internet's echo service."""

    def __init__(self, app: Namespace) -> None:
        with app.entered():
            self._socket = socket.create_connection(_ECHO, timeout=5)
        self._said = 0

    def lives(self) -> bool:
        """Tell whether what is said now comes back."""
        self._said += 1
        line = b"%08d" % self._said
        try:
            self._socket.sendall(line)
            answer = b""
            while len(answer) < len(line) and (chunk := self._socket.recv(len(line))):
                answer += chunk
        except OSError:
            return False
        return answer == line

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def stream(app: Namespace) -> Iterator[Stream]:
    """Have a stream for the time of a block."""
    opened = Stream(app)
    try:
        yield opened
    finally:
        opened.close()


@dataclasses.dataclass
class Echoes:
    """How many datagrams were sent and came back."""

    sent: int = 0
    back: int = 0

    @property
    def lost(self) -> int:
        return self.sent - self.back


@contextlib.contextmanager
def echoes(app: Namespace) -> Iterator[Echoes]:
    """Send 100 datagrams a second, all of one flow, and have them echoed, in the block's time.

    After the block all that will come back has.
    """
    with app.entered():
        talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    counted, ending = Echoes(), threading.Event()
    talker.connect(_ECHO)
    talker.settimeout(_PERIOD_SECONDS)
    threads = [
        threading.Thread(target=_send, args=(talker, counted, ending)),
        threading.Thread(target=_receive, args=(talker, counted, ending)),
    ]
    with talker:
        for thread in threads:
            thread.start()
        try:
            yield counted
        finally:
            ending.set()
            for thread in threads:
                thread.join()


def _send(talker: socket.socket, counted: Echoes, ending: threading.Event) -> None:
    while not ending.wait(_PERIOD_SECONDS):
        counted.sent += 1
        with contextlib.suppress(OSError):
            talker.send(b"%08d" % counted.sent)


def _receive(talker: socket.socket, counted: Echoes, ending: threading.Event) -> None:
    deadline = None
    while deadline is None or (counted.lost and time.monotonic() < deadline):
        with contextlib.suppress(OSError):
            talker.recv(64)
            counted.back += 1
        if deadline is None and ending.is_set():
            deadline = time.monotonic() + _ANSWER_SECONDS
