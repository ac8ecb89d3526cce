"""A hook's container as the kubelet makes it: its files, its /tmp, its termination message."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import uuid
from collections.abc import Iterator

import cgroups
import gateway_process

from piavpn.controller import build_hooks

_FOLDERS = ("told", "hook", "secret", "tmp", "out")
_DEVICES = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && touch /dev/termination-log"


@dataclasses.dataclass(frozen=True)
class Hook:
    """A running hook: tests write what it is to hear of, its script writes to /run/out."""

    folder: pathlib.Path
    started: subprocess.Popen[bytes]
    container: str
    """Its ID, which is in the path of its cgroup."""

    def tell(self, file: str, text: str) -> None:
        """Write a file at once, as the kubelet does; such as `told/forwarded-port`."""
        tell(self.folder, file, text)

    def runs(self) -> list[str]:
        """Return the lines that the script wrote."""
        out = self.folder / "out" / "runs"
        return out.read_text().splitlines() if out.exists() else []

    def message(self) -> str:
        """Return its termination message, as the kubelet would find it."""
        file = pathlib.Path(f"/proc/{self.started.pid}/root/dev/termination-log")
        return file.read_text() if file.exists() else ""

    def terminate(self) -> int:
        """Tell it to end, as the kubelet does; return its exit code."""
        os.kill(self.started.pid, signal.SIGTERM)
        return self.started.wait(timeout=5)


def tell(folder: pathlib.Path, file: str, text: str) -> None:
    """Write a file of a hook that may not run yet."""
    fresh = folder / "new"
    fresh.write_text(text)
    fresh.replace(folder / file)


def prepare(folder: pathlib.Path) -> None:
    """Make the hook's directories."""
    for name in _FOLDERS:
        (folder / name).mkdir()


@contextlib.contextmanager
def running(folder: pathlib.Path, shell: tuple[str, ...], *arguments: str) -> Iterator[Hook]:
    """Run the hook's program in its own view of files, in a cgroup of its own.

    Args:
        folder: of the hook's directories; outlives the container, as a pod's volumes do.
        shell: of the container's image.
        arguments: the program's.
    """
    binds = {
        folder / "told": "/run/piavpn",
        folder / "hook": "/run/piavpn-hook",
        folder / "secret": "/run/piavpn-hook-secret",
        folder / "out": "/run/out",
    }
    # The directory of /tmp last: the others' paths lead through it.
    inside = f"{gateway_process.mounts(binds)} && mount --bind {folder}/tmp /tmp && {_DEVICES}"
    started = subprocess.Popen(
        [
            *("unshare", "--mount", "sh", "-c", f'{inside} && exec "$@"', "sh"),
            *(*shell, "-c", build_hooks.loop(), "hook", *arguments),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    container = uuid.uuid4().hex
    made = cgroups.enter(started.pid, f"kubepods/pod{uuid.uuid4()}/{container}")
    try:
        yield Hook(folder, started, container)
    finally:
        # All of them, as a runtime does: a script's programs outlive the shell.
        for pid in (made[0] / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        started.wait()
        cgroups.remove(made)
