"""What an app does on the Internet: it moves bytes, sends datagrams, waits for answers."""

from __future__ import annotations

import dataclasses
import enum
import json
import statistics
from collections.abc import Sequence

from fakepia import client
from harness import nodes, probes

_SECONDS = 1.0
_ECHOES = 100
_SINK = "203.0.113.9"
"""The stand-in's Internet has this address; nobody answers datagrams there."""
_PAYLOAD_BYTES = 1300
_ENCRYPTED_BYTES = _PAYLOAD_BYTES + 28 + 32
"""IPv4 and UDP, a multiple of 16 with them, and what WireGuard puts around it."""

_BEGIN = """
import json, os, socket, threading, time
def busy():
    with open("/proc/stat") as file: times = [int(one) for one in file.readline().split()[1:]]
    user, nice, system, idle, waiting, interrupts, soft_interrupts, *_ = times
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
def opened(kind):
    s = socket.socket(type=kind)
    s.settimeout(10)
    if {device!r}: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, {device!r}.encode())
    return s
"""
_TCP = """
def upload(s):
    while time.perf_counter() - began < {seconds}: s.sendall(block)
    s.shutdown(socket.SHUT_WR)
    moved.append(int(s.makefile().readline()))
def download(s):
    count, block = 0, bytearray(1 << 17)
    while time.perf_counter() - began < {seconds}: count += s.recv_into(block)
    moved.append(count)
moved, block, streams = [], bytes(1 << 17), [opened(socket.SOCK_STREAM) for _ in range({streams})]
for s in streams: s.connect(({host!r}, {port}))
began, before = time.perf_counter(), busy()
threads = [threading.Thread(target={direction}, args=(s,)) for s in streams]
for thread in threads: thread.start()
for thread in threads: thread.join()
taken = time.perf_counter() - began, busy() - before
print(json.dumps({{"bytes": sum(moved), "seconds": taken[0], "cpu_seconds": taken[1]}}))
"""
# Without a rate as many as the socket takes.
_DATAGRAMS = """
s, sent, payload, began = opened(socket.SOCK_DGRAM), 0, bytes({size}), time.perf_counter()
while (elapsed := time.perf_counter() - began) < {seconds}:
    due = int(elapsed * {per_second}) if {per_second} else sent + 32
    while sent < due: sent += bool(s.sendto(payload, ({host!r}, 9)))
    if {per_second}: time.sleep(0.001)
print(sent)
"""
_ECHO = """
s, taken = opened(socket.SOCK_DGRAM), []
s.connect(({host!r}, 7))
for number in range({echoes}):
    asked = time.perf_counter()
    s.send(bytes(56))
    s.recv(100)
    taken.append((time.perf_counter() - asked) * 1000)
print(json.dumps(taken))
"""


class Direction(enum.StrEnum):
    """Where the bytes go, seen from the app."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


# The stand-in's discard service tells at the end how much arrived.
_PORTS = {Direction.UPLOAD: 9, Direction.DOWNLOAD: 19}


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A way to the Internet: who uses it, where the tunnel begins, and its account at PIA."""

    name: str
    pod: probes.Pod
    tunnels_node: str
    account: str
    device: str = ""
    """Nothing: what the pod's routes say."""


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """What TCP moved, and the seconds of processors that it took."""

    gigabits: float
    seconds: float
    machine_seconds: float
    """Of all processors, whoever used them: this machine has both ends of the tunnel."""
    wireguard_seconds: float
    """Of wireguard-go, at the client's end; 0: the kernel does its work."""

    @property
    def megabits_per_second(self) -> float:
        """The rate."""
        return self.gigabits * 1000 / self.seconds

    @property
    def machine_cost(self) -> float:
        """Seconds of all processors for a gigabit."""
        return self.machine_seconds / self.gigabits

    @property
    def wireguard_cost(self) -> float:
        """Seconds of wireguard-go for a gigabit."""
        return self.wireguard_seconds / self.gigabits


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """Datagrams that were sent, and those that reached the tunnel's server."""

    sent: int
    arrived: float

    @property
    def megabits_per_second(self) -> float:
        """The rate of what arrived."""
        return self.arrived * _PAYLOAD_BYTES * 8 / 1e6 / _SECONDS

    @property
    def lost_percent(self) -> float:
        """What did not arrive. The server counts bytes, of its probes too: never less than none."""
        return max(0.0, 100 * (1 - self.arrived / self.sent))


@dataclasses.dataclass(frozen=True, slots=True)
class Echoes:
    """How many milliseconds the answers to single datagrams took."""

    taken: Sequence[float]

    @property
    def p50(self) -> float:
        """What half of them took at most."""
        return statistics.median(self.taken)

    @property
    def p95(self) -> float:
        """What 95 % of them took at most."""
        return statistics.quantiles(self.taken, n=20)[-1]


def transfer(path: Path, direction: Direction, streams: int) -> Transfer:
    """Move as many bytes as this many connections can, for a second."""
    before = _wireguard_go_seconds(path.tunnels_node)
    told = json.loads(
        _run(path, _TCP, direction=direction.value, port=_PORTS[direction], streams=streams)
    )
    after = _wireguard_go_seconds(path.tunnels_node)
    used = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
    return Transfer(told["bytes"] * 8 / 1e9, told["seconds"], told["cpu_seconds"], used)


def datagrams(path: Path, pia: client.Client, server: str, *, megabits: int | None) -> Flow:
    """Send datagrams for a second, at this rate or as many as go."""
    per_second = megabits * 1e6 / 8 / _PAYLOAD_BYTES if megabits else 0
    before = _received_bytes(pia, server, path.account)
    sent = int(_run(path, _DATAGRAMS, host=_SINK, size=_PAYLOAD_BYTES, per_second=per_second))
    received = _received_bytes(pia, server, path.account) - before
    return Flow(sent, received / _ENCRYPTED_BYTES)


def echoes(path: Path) -> Echoes:
    """Ask and wait for the answer, again and again."""
    return Echoes(json.loads(_run(path, _ECHO, echoes=_ECHOES)))


def _run(path: Path, code: str, *, host: str = probes.WHO_AM_I, **values: object) -> str:
    values |= {"device": path.device, "host": host, "seconds": _SECONDS}
    return path.pod.python((_BEGIN + code).format(**values))


def _received_bytes(pia: client.Client, server: str, account: str) -> int:
    (peer,) = (one for one in pia.state().servers[server].peers if one.account == account)
    return peer.received_bytes


def _wireguard_go_seconds(node: str) -> dict[str, float]:
    """Return how long each wireguard-go of a node has used a processor, by process."""
    listed = nodes.run(node, "sh", "-c", "grep -hs '(wireguard-go)' /proc/[0-9]*/stat || true")
    return dict(_processor_seconds(line) for line in listed.splitlines())


def _processor_seconds(line: str) -> tuple[str, float]:
    pid, _, rest = line.partition(" ")
    fields = rest.partition(") ")[2].split()
    user, system = fields[11:13]
    return pid, (int(user) + int(system)) / 100
