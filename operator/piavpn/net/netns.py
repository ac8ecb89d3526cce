"""Enter a network namespace that is known by an open descriptor.

A descriptor pins the namespace: a path such as /proc/PID/ns/net can name another one, or none, a
moment later.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import logging
import os
from collections.abc import Iterator

log = logging.getLogger(__name__)

EXIT_CODE = 70
"""Of a process in which a thread cannot get home."""

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """Be in the network namespace of `fd` inside the block: the calling thread alone.

    Sockets opened and programs started in the block live in that namespace, sockets for all their
    life. /proc/sys/net is that namespace's own, too.

    A thread that cannot get home ends the whole process: what it did next, thinking itself at home,
    it would do to another namespace.

    Raises:
        OSError: `fd` is no network namespace, or CAP_SYS_ADMIN is missing.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd)
        try:
            yield
        finally:
            _go_home(home)
    finally:
        os.close(home)


def create() -> int:
    """Make a namespace that lives as long as the descriptor that is returned.

    Raises:
        OSError: CAP_SYS_ADMIN is missing.
    """
    # In a thread of its own, which ends: ours stays where it is.
    with concurrent.futures.ThreadPoolExecutor(1) as one:
        return one.submit(_unshare).result()


def inode(fd: int) -> int:
    """Return the namespace's number: equal for equal namespaces while either lives."""
    return os.fstat(fd).st_ino


def _go_home(home: int) -> None:
    try:
        _setns(home)
    except OSError:
        log.critical("ending: the way back to our own network namespace is gone", exc_info=True)
        os._exit(EXIT_CODE)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")


def _unshare() -> int:
    if _libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot make a network namespace: {os.strerror(number)}")
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
