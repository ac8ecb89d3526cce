"""Run in a pod as its app would be: try every way that an unprivileged program has to get out.

usage: way_out_attempts.py OUTSIDE_ADDRESS CLUSTER_ADDRESS. Prints one line for each attempt.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable

OUTSIDE, CLUSTER = sys.argv[1:]
DEVICE = "eth0"
IP_UNICAST_IF, IPPROTO_UDPLITE, IPPROTO_MPTCP = 50, 136, 262
ICMP_ECHO = b"\x08\x00\x00\x00\x00\x00\x00\x01payload"


def udp(
    target: str,
    port: int = 9,
    *,
    family: int = socket.AF_INET,
    protocol: int = 0,
    prepare: Callable[[socket.socket], object] = lambda _: None,
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as out:
        prepare(out)
        out.sendto(ICMP_ECHO, (target, port))


def tcp(
    target: str,
    port: int = 80,
    *,
    protocol: int = 0,
    prepare: Callable[[socket.socket], object] = lambda _: None,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as out:
        out.settimeout(0.2)
        prepare(out)
        out.connect((target, port))


def to_device(out: socket.socket) -> None:
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())


def by_unicast_if(out: socket.socket) -> None:
    index = socket.htonl(socket.if_nametoindex(DEVICE))
    out.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack("I", index))


def broadcast(out: socket.socket) -> None:
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    to_device(out)


def to_address(out: socket.socket) -> None:
    out.bind((own_address(), 0))


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        to_device(probe)
        probe.connect((CLUSTER, 9))
        return str(probe.getsockname()[0])


def by_pktinfo() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        info = struct.pack("I4s4s", socket.if_nametoindex(DEVICE), b"\0" * 4, b"\0" * 4)
        out.sendmsg([b"x"], [(socket.IPPROTO_IP, 8, info)], 0, (OUTSIDE, 9))


ATTEMPTS: dict[str, Callable[[], None]] = {
    "UDP": lambda: udp(OUTSIDE),
    "UDP bound to the device": lambda: udp(OUTSIDE, prepare=to_device),
    "UDP bound to the address": lambda: udp(OUTSIDE, prepare=to_address),
    "UDP by IP_UNICAST_IF": lambda: udp(OUTSIDE, prepare=by_unicast_if),
    "UDP by IP_PKTINFO": by_pktinfo,
    "UDP-Lite bound to the device": lambda: udp(
        OUTSIDE, protocol=IPPROTO_UDPLITE, prepare=to_device
    ),
    "UDP, IPv4 in IPv6": lambda: udp(
        f"::ffff:{OUTSIDE}", family=socket.AF_INET6, prepare=to_device
    ),
    "broadcast": lambda: udp("255.255.255.255", prepare=broadcast),
    "multicast": lambda: udp("239.1.2.3", prepare=to_device),
    "ping socket": lambda: udp(OUTSIDE, 0, protocol=socket.IPPROTO_ICMP, prepare=to_device),
    "TCP": lambda: tcp(OUTSIDE),
    "TCP bound to the device": lambda: tcp(OUTSIDE, prepare=to_device),
    "TCP bound to the address": lambda: tcp(OUTSIDE, prepare=to_address),
    "MPTCP bound to the device": lambda: tcp(OUTSIDE, protocol=IPPROTO_MPTCP, prepare=to_device),
    "IPv6 bound to the device": lambda: udp(
        "2606:4700::1", family=socket.AF_INET6, prepare=to_device
    ),
    "IPv6 multicast": lambda: udp(f"ff02::fb%{DEVICE}", family=socket.AF_INET6, prepare=to_device),
    "DNS to the cluster by UDP": lambda: udp(CLUSTER, 53),
    "DNS to the cluster by TCP": lambda: tcp(CLUSTER, 53),
    "DNS over TLS to the cluster": lambda: tcp(CLUSTER, 853),
}

if __name__ == "__main__":
    for name, attempt in ATTEMPTS.items():
        outcome = "sent"
        try:
            attempt()
        except OSError as error:
            outcome = str(error)
        with contextlib.suppress(BrokenPipeError):
            print(f"{name}: {outcome}", flush=True)
