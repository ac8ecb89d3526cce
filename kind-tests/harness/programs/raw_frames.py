"""Run in a pod that has raw sockets: send what walks past every filter in the pod.

usage: raw_frames.py OUTSIDE. Prints how many frames and packets went out of eth0.
"""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import socket
import struct
import sys
from collections.abc import Iterator

OUTSIDE = sys.argv[1]
ROUNDS = 50
SIOCGIFADDR, SIOCGIFHWADDR = 0x8915, 0x8927
STRANGER = "10.244.77.77"
IPV6 = struct.pack("!IHBB", 6 << 28, 8, 59, 64) + bytes(32) + b"raw data"


def of_eth0(request: int) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, struct.pack("256s", b"eth0"))


def next_hop() -> bytes:
    """Return the hardware address of the node's end: some neighbour of eth0 is always known."""
    for line in pathlib.Path("/proc/net/arp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[5] == "eth0" and fields[3] != "00:00:00:00:00:00":
            return bytes.fromhex(fields[3].replace(":", ""))
    raise SystemExit("no neighbour is known on eth0")


def checksum(header: bytes) -> int:
    total = sum(struct.unpack("!10H", header))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def datagram(source: str, destination: str, port: int) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    fields = (0x45, 0, 36, 0, 0, 64, socket.IPPROTO_UDP)
    header = struct.pack("!BBHHHBBH", *fields, 0) + ends
    header = struct.pack("!BBHHHBBH", *fields, checksum(header)) + ends
    return header + struct.pack("!HHHH", 40000, port, 16, 0) + b"raw data"


def frames() -> Iterator[bytes]:
    ethernet = next_hop() + of_eth0(SIOCGIFHWADDR)[18:24]
    own = socket.inet_ntoa(of_eth0(SIOCGIFADDR)[20:24])
    yield ethernet + b"\x08\x00" + datagram(own, OUTSIDE, 9)
    yield ethernet + b"\x08\x00" + datagram(own, OUTSIDE, 53)
    yield ethernet + b"\x08\x00" + datagram(STRANGER, OUTSIDE, 9)
    yield ethernet + b"\x86\xdd" + IPV6


sent = 0
with (
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link,
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as network,
):
    link.bind(("eth0", 0))
    network.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    everything = list(frames())
    for _ in range(ROUNDS):
        for frame in everything:
            sent += link.send(frame) > 0
        with contextlib.suppress(OSError):
            network.sendto(everything[0][14:], (OUTSIDE, 0))
print(sent)
