"""Hear at once of every change to the filters and routes in confined pods' network namespaces.

The kernel tells it by netlink multicast, to sockets that were opened in those namespaces. Such a
socket holds its namespace: it is closed as soon as the sandbox is known to have ended.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Collection

from piavpn.net import netns
from piavpn.node.sandbox import Sandbox

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
# linux/rtnetlink.h: links, IPv4 addresses, routes and rules. linux/netfilter/nfnetlink.h: nftables.
_GROUPS = {_NETLINK_ROUTE: (1, 5, 7, 8), _NETLINK_NETFILTER: (7,)}
_POLL_SECONDS = 1.0
_MOST_BYTES = 65536


class Alarms:
    """Rings `bell` when a namespace that it listens to has changed."""

    def __init__(self, bell: threading.Event) -> None:
        self._bell = bell
        self._lock = threading.Lock()
        self._poll = select.epoll()
        self._sockets: dict[int, tuple[Sandbox, socket.socket]] = {}
        self._changed: set[Sandbox] = set()

    def listen(self, sandbox: Sandbox, fd: int) -> bool:
        """Hear of changes in the sandbox's namespace `fd` from now on; tell whether we did not yet.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            if any(known == sandbox for known, _ in self._sockets.values()):
                return False
            with netns.entered(fd):
                opened = [_listening(family, groups) for family, groups in _GROUPS.items()]
            for made in opened:
                self._sockets[made.fileno()] = sandbox, made
                self._poll.register(made, select.EPOLLIN)
        return True

    def keep(self, sandboxes: Collection[Sandbox]) -> None:
        """Hear no more of all other sandboxes."""
        with self._lock:
            for number, (sandbox, made) in list(self._sockets.items()):
                if sandbox not in sandboxes:
                    del self._sockets[number]
                    made.close()

    def close(self) -> None:
        """Hear no more of any."""
        self.keep(())

    def changed(self) -> set[Sandbox]:
        """Return the sandboxes whose namespaces have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def ring(self, sandbox: Sandbox) -> None:
        """Have the sandbox looked at."""
        with self._lock:
            self._changed.add(sandbox)
        self._bell.set()

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop` is set."""
        while not stop.is_set():
            for number, _ in self._poll.poll(_POLL_SECONDS):
                self._take(number)

    def _take(self, number: int) -> None:
        with self._lock:
            if number not in self._sockets:
                return
            sandbox, made = self._sockets[number]
            _drain(made)
            self._changed.add(sandbox)
        self._bell.set()


def _listening(family: int, groups: tuple[int, ...]) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
    made.bind((0, 0))
    for group in groups:
        made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return made


def _drain(made: socket.socket) -> None:
    while True:
        try:
            made.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # More came than fits. That something has changed is all that counts.
            if error.errno != errno.ENOBUFS:
                return
