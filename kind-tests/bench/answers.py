"""An app that asks ten times a second, and how long neither Internet nor resolver answers."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import subprocess
import threading
from collections.abc import Iterator, Sequence

from harness import probes

# Each question is a connection of its own, as those of an app that tries again. Printing ends it:
# when nobody reads any more, the pipe is broken.
_ASK = """
import socket, time
while True:
    asked = time.time()
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout({period})
            s.connect(({host!r}, 9))
            s.send(b"who am I?")
            print("answered", s.recv(100).decode(), time.time(), flush=True)
    except OSError as e:
        if isinstance(e, BrokenPipeError): raise SystemExit
        print("failed", e, flush=True)
    time.sleep(max(0, asked + {period} - time.time()))
"""
# Another name each time: no cache answers it, and dnsmasq holds none back for one of the same name
# whose answer was lost. That there is no such name is an answer, which the Internet alone gives.
_RESOLVE = """
import os, socket, time
with open("/etc/resolv.conf") as file:
    (server, *_) = [line.split()[1] for line in file if line.startswith("nameserver")]
while True:
    asked, number = time.time(), os.urandom(2)
    name = b"\\x08" + os.urandom(4).hex().encode() + b"\\x04test\\x00"
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout({period})
            s.connect((server, 53))
            s.send(number + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + name + bytes([0, 1, 0, 1]))
            reply = s.recv(512)
            if reply[:2] != number or reply[3] & 15 not in (0, 3): raise OSError(reply[:12])
            print("answered", server, time.time(), flush=True)
    except OSError as e:
        if isinstance(e, BrokenPipeError): raise SystemExit
        print("failed", e, flush=True)
    time.sleep(max(0, asked + {period} - time.time()))
"""
_PERIOD_SECONDS = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer: when it came, by the machine's clock, and the address that the Internet saw.

    Of a resolver its own address.
    """

    time: float
    address: str


class Asking:
    """What is answered to a pod that asks and asks."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []
        self.failure = ""
        """The last one, in words."""

    def note(self, line: str) -> None:
        """Take what the pod printed."""
        kind, *rest = line.split()
        if kind == "answered":
            address, time = rest
            self._answers.append(Answer(float(time), address))
        else:
            self.failure = line.strip()

    def after(self, since: float) -> list[Answer]:
        """Return the answers that came after that time so far."""
        return [answer for answer in tuple(self._answers) if answer.time > since]


def asking(pod: probes.Pod) -> contextlib.AbstractContextManager[Asking]:
    """Have a pod ask the Internet for the time of a block."""
    return _running(pod, _ASK.format(host=probes.WHO_AM_I, period=_PERIOD_SECONDS))


def resolving(pod: probes.Pod) -> contextlib.AbstractContextManager[Asking]:
    """Have a pod ask its resolver for names of the Internet for the time of a block."""
    return _running(pod, _RESOLVE.format(period=_PERIOD_SECONDS))


def until_the_end_of_silence(since: float, answers: Sequence[Answer]) -> float:
    """Return the seconds from a fault to the end of the longest silence after it.

    Args:
        since: time of the fault.
        answers: those after it, one at least, in their order.
    """
    _, end = _longest_silence(since, answers)
    return end - since


def longest_silence(since: float, answers: Sequence[Answer]) -> float:
    """Return the seconds of the longest silence after a fault that may not be felt at all.

    Args:
        since: time of the fault.
        answers: those after it, one at least, in their order.
    """
    begin, end = _longest_silence(since, answers)
    return end - begin


def _longest_silence(since: float, answers: Sequence[Answer]) -> tuple[float, float]:
    times = [since, *(answer.time for answer in answers)]
    return max(itertools.pairwise(times), key=lambda gap: gap[1] - gap[0])


@contextlib.contextmanager
def _running(pod: probes.Pod, code: str) -> Iterator[Asking]:
    with subprocess.Popen(
        ("kubectl", "exec", "-n", pod.namespace, pod.name, "-c", pod.container, "--",
         "python3", "-c", code),
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        seen = Asking()
        reader = threading.Thread(target=_read, args=(process, seen), daemon=True)
        reader.start()
        try:
            yield seen
        finally:
            process.terminate()
            reader.join()


def _read(process: subprocess.Popen[str], seen: Asking) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        seen.note(line)
