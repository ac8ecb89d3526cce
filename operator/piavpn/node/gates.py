"""What a pod's gate waits for, from its own last words: it has no API to say it in.

The kubelet gives each container a file for its termination message, and the gate writes into it
what it waits for. We read it through the root of the gate's process. The file system there is the
container's own making, so nothing in it is followed, waited for or believed beyond one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Collection, Iterator

from piavpn.api.conditions import Status
from piavpn.node import reasons, report, sandbox
from piavpn.node.model import Gate, Pod
from piavpn.node.report import Report

_LOOK_SECONDS = 0.5
_MOST_BYTES = 1024
_MOST_CHARACTERS = 300
_KINDS = ("waiting: ", "error: ")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclasses.dataclass(slots=True)
class _Known:
    gate: Gate
    next_look: float
    words: str


class Gates:
    """Knows what the gates of this node's pods say, at the price of few looks."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def keep(self, uids: Collection[str]) -> None:
        """Forget all other pods."""
        self._known = {uid: known for uid, known in self._known.items() if uid in uids}

    def report(self, pod: Pod, now: float) -> Report:
        """Return whether the pod's gate has let the app start, and else what it waits for.

        Args:
            pod: the pod.
            now: the monotonic clock.
        """
        if pod.gate.passed or not pod.gate.container:
            return report.gate(pod.gate)
        known = self._known.get(pod.uid)
        if known is None or known.gate != pod.gate:
            known = self._known[pod.uid] = _Known(pod.gate, now, "")
        if now >= known.next_look:
            known.words = last_words(pod.uid, pod.gate.container) or known.words
            known.next_look = now + _LOOK_SECONDS
        if not known.words:
            return report.gate(pod.gate)
        return Report(Status.FALSE, reasons.WAITING, known.words)


def last_words(uid: str, container: str) -> str:
    """Return what the container of that pod says that it waits for; empty where it says nothing."""
    for pid in sandbox.processes(uid, container):
        with contextlib.suppress(OSError), _root(pid) as root:
            # Only now: before, the process could have ended and its number been given away.
            if sandbox.is_of(pid, uid, container):
                return line(_read(root))
    return ""


def line(text: bytes) -> str:
    """Return what the gate waits for, as one line that can be shown; empty where it says nothing.

    A line without an end is being written.
    """
    first, end, _ = text.decode(errors="replace").partition("\n")
    kind = next((kind for kind in _KINDS if first.startswith(kind)), None)
    if not end or kind is None:
        return ""
    shown = "".join(each if each.isprintable() else " " for each in first.removeprefix(kind))
    return shown.strip()[:_MOST_CHARACTERS]


@contextlib.contextmanager
def _root(pid: int) -> Iterator[int]:
    fd = os.open(f"/proc/{pid}/root", _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(root: int) -> bytes:
    """Read the file step by step: a link in the container could lead to a file of the node's.

    Raises:
        OSError: it is not there, or no plain file.
    """
    with contextlib.ExitStack() as opened:
        dev = os.open("dev", _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        opened.callback(os.close, dev)
        found = os.open("termination-log", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev)
        opened.callback(os.close, found)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError("the termination message is no plain file")
        file = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        opened.callback(os.close, file)
        return os.read(file, _MOST_BYTES)
