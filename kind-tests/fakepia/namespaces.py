"""Network namespaces without names: they end with this process, however it ends.

A namespace is held by a descriptor. A thread enters it to open sockets or to run programs there;
sockets stay where they were opened, so one process serves all of them.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000


class CommandError(Exception):
    """A program ended with an error; the message holds the program and what it said."""


class Namespace:
    """One network namespace."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    @property
    def path(self) -> str:
        """Path for `nsenter --net=` and `ip link set … netns`, good while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have the calling thread act in this namespace.

        Raises:
            OSError: the namespace cannot be entered (no CAP_SYS_ADMIN).
        """
        with _current() as before:
            _check(_libc.setns(self._descriptor, _CLONE_NEWNET))
            try:
                yield
            finally:
                _check(_libc.setns(before, _CLONE_NEWNET))

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a program here and give what it printed.

        Raises:
            CommandError: it could not be run or ended with a status other than 0.
        """
        with self.entered():
            return run(*argv, stdin=stdin)

    def start(self, *argv: str) -> "subprocess.Popen[bytes]":
        """Start a program here that is killed when the calling thread ends."""
        with self.entered():
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL
            )

    def set_sysctl(self, key: str, value: int) -> None:
        """Set a setting below `net`, for example `ipv4/ip_forward`."""
        with self.entered():
            Path("/proc/sys/net", key).write_text(str(value))

    def listen(self, address: IPv4Address | str, port: int) -> socket.socket:
        """Open a listening TCP socket here."""
        with self.entered():
            return socket.create_server((str(address), port), backlog=256)

    def bind_udp(self, address: IPv4Address, port: int) -> socket.socket:
        """Open a UDP socket here."""
        with self.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((str(address), port))
        return sock

    def connect(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """Connect from here to `address`; every later wait on the socket ends after 5 s.

        Raises:
            OSError: nobody answers or the connection is refused.
        """
        with self.entered():
            sock = socket.socket(socket.AF_INET, kind)
        sock.settimeout(5)
        try:
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        return sock


def current(name: str) -> Namespace:
    """Give the namespace that the calling thread is in."""
    return Namespace(name, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def create(name: str) -> Namespace:
    """Make an empty namespace.

    Raises:
        OSError: the process may not (no CAP_SYS_ADMIN).
    """
    with _current() as before:
        _check(_libc.unshare(_CLONE_NEWNET))
        try:
            return current(name)
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))


def hide_directory(path: str) -> None:
    """Give this process and its children an empty `path` of their own.

    To be called before any thread is started: threads share what their starter has.

    Raises:
        OSError: the process may not mount (no CAP_SYS_ADMIN).
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    _check(_libc.mount(b"fakepia", path.encode(), b"tmpfs", 0, b"mode=0700"))


def is_somebody_elses() -> bool:
    """Tell whether the calling thread's namespace is in use: it has a default route.

    A container has one as well, but is its first process's own.
    """
    return os.getpid() != 1 and bool(run("ip", "route", "show", "default"))


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a program in the calling thread's namespace and give what it printed.

    Raises:
        CommandError: it could not be run or ended with a status other than 0.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CommandError(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        raise CommandError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def ip_batch(lines: Sequence[str]) -> str:
    """Give the standard input of `ip -batch -` for `lines` of arguments."""
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def _current() -> Iterator[int]:
    descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
