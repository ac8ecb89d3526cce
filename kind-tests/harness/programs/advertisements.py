"""Run on a node, as root: be an IPv6 router on one of its links.

usage: advertisements.py LINK. Sends router advertisements (RFC 4861) with a prefix.
"""

from __future__ import annotations

import pathlib
import socket
import struct
import sys
import time

LINK = sys.argv[1]
ROUTER, ALL_NODES = "fe80::1", "ff02::1"
PREFIX = "fd00:bad::"
ROUNDS, PERIOD_SECONDS = 20, 0.1


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return int(~total & 0xFFFF)


mac = bytes.fromhex(pathlib.Path(f"/sys/class/net/{LINK}/address").read_text().replace(":", ""))
ends = socket.inet_pton(socket.AF_INET6, ROUTER) + socket.inet_pton(socket.AF_INET6, ALL_NODES)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0)
prefix += socket.inet_pton(socket.AF_INET6, PREFIX)
source_link = struct.pack("!BB", 1, 1) + mac
body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + prefix + source_link
length = len(body) + 4
pseudo = ends + struct.pack("!II", length, socket.IPPROTO_ICMPV6)
summed = checksum(pseudo + struct.pack("!BBH", 134, 0, 0) + body)
packet = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + ends
packet += struct.pack("!BBH", 134, 0, summed) + body
frame = bytes.fromhex("333300000001") + mac + b"\x86\xdd" + packet
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((LINK, 0))
    for _ in range(ROUNDS):
        out.send(frame)
        time.sleep(PERIOD_SECONDS)
