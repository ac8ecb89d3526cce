"""Run in a pod as its app: tries to get out from its first moment and for ever, and transfers.

usage: leaky.py OUTSIDE LAN RESOLVER ATTEMPTS. OUTSIDE is the stand-in's Internet host, LAN one
beside the nodes, RESOLVER the cluster's, ATTEMPTS the source of a program with a table ATTEMPTS.
What it sees is told on TCP port 8099, as JSON.
"""

from __future__ import annotations

import collections
import contextlib
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

OUTSIDE, LAN, RESOLVER, SOURCE = sys.argv[1:]
PERIOD_SECONDS, LAST_SECONDS = 0.01, 2
QUERY = b"\0\1\1\0\0\1\0\0\0\0\0\0\x06whoami\x04test\x00\0\1\0\1"

answers: collections.Counter[str] = collections.Counter()
counts: collections.Counter[str] = collections.Counter()


def once(
    host: str, port: int, *, device: str = "", family: int = socket.AF_INET, payload: bytes = b"out"
) -> None:
    """Send one datagram, on a socket of its own."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as out:
        if device:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        out.sendto(payload, (host, port))
        counts["sent"] += 1


def send_on() -> None:
    """Send to all that must not be reached."""
    while True:
        once(OUTSIDE, 9, device="eth0")
        once(OUTSIDE, 53, device="eth0", payload=QUERY)
        once(LAN, 9, device="eth0")
        once(RESOLVER, 53, payload=QUERY)
        once("2606:4700::1", 9, family=socket.AF_INET6)
        once("ff02::fb%eth0", 5353, family=socket.AF_INET6)
        time.sleep(PERIOD_SECONDS)


def ask_on() -> None:
    """Ask who we are by one flow for ever: where its route leads may change under it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.settimeout(0)
        while True:
            with contextlib.suppress(OSError):
                flow.sendto(b"who am I?", (OUTSIDE, 9))
            with contextlib.suppress(OSError):
                while True:
                    answers[flow.recv(100).decode().strip()] += 1
            time.sleep(PERIOD_SECONDS)


def ask_anew() -> None:
    """Ask by a flow of its own each time, as a program that tries again does."""
    while True:
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as out:
            out.settimeout(0.5)
            out.connect((OUTSIDE, 9))
            out.send(b"who am I?")
            answers[out.recv(100).decode().strip()] += 1
            counts["anew"] += 1
        time.sleep(PERIOD_SECONDS)


def transfer() -> None:
    """Take bytes, 1 MB/s or so, from a TCP connection; begin again when it breaks."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection((OUTSIDE, 19), 5) as stream:
            stream.settimeout(5)
            while chunk := stream.recv(16384):
                counts["received"] += len(chunk)
                time.sleep(PERIOD_SECONDS)
        counts["broken"] += 1
        time.sleep(PERIOD_SECONDS)


def try_everything() -> None:
    """Make every attempt of the table, over and over."""
    sys.argv = ["attempts", OUTSIDE, RESOLVER]
    table: dict[str, Any] = {"__name__": "attempts"}
    exec(compile(SOURCE, "attempts", "exec"), table)
    while True:
        for attempt in table["ATTEMPTS"].values():
            with contextlib.suppress(OSError):
                attempt()
        counts["rounds"] += 1
        time.sleep(PERIOD_SECONDS)


class Told(http.server.BaseHTTPRequestHandler):
    """Tells what was seen so far."""

    def do_GET(self) -> None:
        """Answer with JSON."""
        body = json.dumps({"answers": answers, "counts": counts}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


once(OUTSIDE, 9, device="eth0")
# Told to end, it goes on for a while: its last moments are tried, too.
signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LAST_SECONDS))
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
for task in (send_on, ask_on, ask_anew, transfer, try_everything):
    threading.Thread(target=task, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8099), Told).serve_forever()
