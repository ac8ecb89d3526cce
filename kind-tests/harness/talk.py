"""An app that talks for long: pings at a steady rate and TCP connections, all of them counted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Iterator

from harness import probes

# Echoed datagrams stand for pings: confined apps have no raw sockets.
_TALK = """
import json, socket, sys, threading, time
host, pings, count = {host!r}, {pings}, {connections}
connections = [socket.create_connection((host, 7), 5) for _ in range(count)]
pinger = socket.socket(type=socket.SOCK_DGRAM)
pinger.connect((host, 7))
pinger.settimeout(0.2)
told, ended = threading.Event(), threading.Event()
sent, answered, broken = 0, 0, set()

def listen():
    global answered
    while not ended.is_set():
        try:
            pinger.recv(64)
            answered += 1
        except OSError:
            pass

def exchange(line):
    for each in connections:
        try:
            each.sendall(line)
        except OSError:
            broken.add(each)
    for each in connections:
        try:
            heard = b""
            while len(heard) < len(line):
                part = each.recv(len(line))
                if not part: raise OSError
                heard += part
            if heard != line: broken.add(each)
        except OSError:
            broken.add(each)

threading.Thread(target=listen, daemon=True).start()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
exchange(b"hello   ")
print("talking", flush=True)
while sent < pings or not told.is_set():
    time.sleep(0.01)
    sent += 1
    try:
        pinger.send(b"%08d" % sent)
    except OSError:
        pass
    if sent % 100 == 0: exchange(b"%08d" % sent)
deadline = time.monotonic() + 3
while answered < sent and time.monotonic() < deadline: time.sleep(0.05)
exchange(b"good bye")
ended.set()
print(json.dumps([sent, answered, len(broken)]), flush=True)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    pings: int
    answered: int
    broken_connections: int

    @property
    def lost(self) -> int:
        """How many pings were not answered."""
        return self.pings - self.answered


class Talk:
    """A pod that talks until it is told to end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self) -> Outcome:
        """Have it end when it has sent its pings, and return what came of it."""
        shown, _ = self._process.communicate(timeout=120)
        assert shown.strip(), "the talking pod ended early"
        return Outcome(*json.loads(shown))


@contextlib.contextmanager
def talking(pod: probes.Pod, *, pings: int, connections: int = 1) -> Iterator[Talk]:
    """Have a pod talk: as many pings at least, 100 a second, and so many TCP connections."""
    code = _TALK.format(host=probes.WHO_AM_I, pings=pings, connections=connections)
    with subprocess.Popen(
        ("kubectl", "exec", "-i", "-n", pod.namespace, pod.name, "-c", pod.container, "--",
         "python3", "-c", code),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "talking", "the pod could not begin to talk"
            yield Talk(process)
        finally:
            process.kill()
