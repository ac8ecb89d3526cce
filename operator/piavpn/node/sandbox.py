"""Find the network namespaces of pods by the cgroups of their processes.

That works for every container runtime, and for both of the kubelet's cgroup drivers: a cgroup's
path holds the pod's UID, with `_` for `-` under systemd. The sandbox's own process is the oldest of
the pod; a younger one may have made a namespace for itself. Some of the runtime's processes in the
pod's cgroup still are in the node's namespace: those do not count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import time
from collections.abc import Collection, Iterator

_PROC = pathlib.Path("/proc")
_STRANGERS_SECONDS = 1.0
"""Between looks at all processes."""
_MOST_BYTES = 1 << 16
_POD = re.compile(rb"pod[0-9a-f][\w-]*")
"""What stands for a pod in the name of a cgroup; `kubepods` stands for all."""
_START_TIME = 19
"""Place of a process's start time in /proc/PID/stat, counted after the program's name."""


class SandboxGoneError(Exception):
    """The sandbox that was found has ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's sandbox. A rebuilt one is another, though the pod's UID stays.

    The inode alone does not tell: the kernel gives the numbers of gone namespaces to new ones.
    """

    uid: str
    inode: int
    """Of the network namespace."""
    pid: int
    started: int
    """The process's start, in clock ticks since boot."""


class Finder:
    """Finds pods' sandboxes, as often as every few milliseconds while one is awaited.

    A node has hundreds of processes that are no pod's of ours. Those that were none's a while ago
    are looked at again once a second alone.
    """

    def __init__(self) -> None:
        self._strangers: frozenset[int] = frozenset()
        """Processes that were no such pod's at the last look at all of them, nor at that before."""
        self._lately: frozenset[int] = frozenset()
        """Those that were none's at the last one."""
        self._uids: frozenset[str] = frozenset()
        self._next_look = 0.0

    def find(self, uids: Collection[str]) -> dict[str, Sandbox]:
        """Return the sandboxes of those pods that have one."""
        if not uids:
            return {}
        known, now = self._strangers, time.monotonic()
        at_all = now >= self._next_look or not self._uids.issuperset(uids)
        self._uids = frozenset(uids)
        if at_all:
            known, self._next_look = frozenset(), now + _STRANGERS_SECONDS
        found, strangers = _look(uids, known)
        if at_all:
            # A container runtime's process comes to its pod's cgroup a moment after its start.
            self._strangers, self._lately = self._lately & strangers, strangers
        return found


def _look(
    uids: Collection[str], known: Collection[int]
) -> tuple[dict[str, Sandbox], frozenset[int]]:
    """Return the sandboxes, and the processes that are no such pod's, without those `known`."""
    nodes_own = _own_namespace()
    spelt = {spelling: uid for uid in uids for spelling in _spellings(uid)}
    found: dict[str, Sandbox] = {}
    strangers = set()
    for pid in _pids():
        if pid in known:
            continue
        with contextlib.suppress(OSError, ValueError):
            named = {spelt[one] for one in _POD.findall(_cgroups(pid)) if one in spelt}
            if not named:
                strangers.add(pid)
                continue
            inode = os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116 - pathlib is slow
            if inode == nodes_own:
                continue
            (uid,) = named
            seen = Sandbox(uid, inode, pid, _started(pid))
            if uid not in found or seen.started < found[uid].started:
                found[uid] = seen
    return found, frozenset(strangers)


def processes(uid: str, container: str) -> list[int]:
    """Return the processes of one container of a pod, as the kubelet names the container."""
    return [pid for pid in _pids() if is_of(pid, uid, container)]


def is_of(pid: int, uid: str, container: str) -> bool:
    """Tell whether the process is one of that container of that pod."""
    try:
        cgroups = _cgroups(pid)
    except OSError:
        return False
    return container.encode() in cgroups and any(one in cgroups for one in _spellings(uid))


def in_nodes_namespace() -> bool:
    """Tell whether we are in the node's network namespace and see its processes, as we must."""
    return (_PROC / "1/ns/net").stat().st_ino == _own_namespace()


@contextlib.contextmanager
def pinned(sandbox: Sandbox) -> Iterator[int]:
    """Hold the sandbox's network namespace inside the block; yields an open descriptor of it.

    Raises:
        SandboxGoneError: it has ended.
    """
    fd = _open(sandbox)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(sandbox: Sandbox) -> int:
    """Open the namespace, and only then make sure that it is the one that was found."""
    try:
        fd = os.open(_PROC / str(sandbox.pid) / "ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxGoneError(f"process {sandbox.pid} has ended") from error
    with contextlib.suppress(OSError, ValueError):
        inode = os.fstat(fd).st_ino
        same_process = _started(sandbox.pid) == sandbox.started
        if same_process and inode == sandbox.inode and inode != _own_namespace():
            return fd
    os.close(fd)
    raise SandboxGoneError(f"process {sandbox.pid} is not the sandbox's any more")


def _own_namespace() -> int:
    """Return the namespace never to be touched: the node's, where the agent lives."""
    return (_PROC / "thread-self/ns/net").stat().st_ino


def _spellings(uid: str) -> tuple[bytes, bytes]:
    return f"pod{uid}".encode(), f"pod{uid.replace('-', '_')}".encode()


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - as above


def _cgroups(pid: int) -> bytes:
    fd = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MOST_BYTES)
    finally:
        os.close(fd)


def _started(pid: int) -> int:
    """Return the process's start time; its name, in parentheses, may hold anything."""
    stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[_START_TIME])
