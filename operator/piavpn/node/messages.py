"""What a container says of itself: its termination message, read while it still runs.

The kubelet gives every container the file /dev/termination-log, and looks at it when the container
has ended. A container that goes on has no other way to say a thing without any right in the API and
without its pod being called not ready. What is in there is the container's: nobody to be trusted.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat

_PROC = pathlib.Path("/proc")
_MOST_BYTES = 256


class Messages:
    """Reads containers' messages; remembers which process is of which container."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}

    def read(self, container: str) -> str:
        """Return the message of the container with this ID; empty where there is none."""
        if not _is_of(self._pids.get(container, 0), container):
            self._pids.pop(container, None)
            pid = next((pid for pid in _all_pids() if _is_of(pid, container)), None)
            if pid is None:
                return ""
            self._pids[container] = pid
        with contextlib.suppress(OSError):
            return _read(self._pids[container])
        return ""

    def forget(self, alive: set[str]) -> None:
        """Forget all containers but these."""
        self._pids = {key: pid for key, pid in self._pids.items() if key in alive}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _is_of(pid: int, container: str) -> bool:
    try:
        return bool(container) and container.encode() in (_PROC / f"{pid}/cgroup").read_bytes()
    except OSError:
        return False


def _read(pid: int) -> str:
    """Read the file in the process's own view of files, step by step: a link would lead out."""
    with contextlib.ExitStack() as opened:

        def step(name: str, flags: int, where: int | None = None) -> int:
            descriptor = os.open(name, flags | os.O_CLOEXEC, dir_fd=where)
            opened.callback(os.close, descriptor)
            return descriptor

        root = step(f"{_PROC}/{pid}/root", os.O_PATH | os.O_DIRECTORY)
        devices = step("dev", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, root)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = step("termination-log", flags, devices)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        return os.read(file, _MOST_BYTES).decode(errors="replace")
