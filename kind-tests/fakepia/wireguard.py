"""The WireGuard link of a server: the kernel's where there is one, else wireguard-go."""

import base64
import binascii
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

from fakepia import namespaces, world

SOCKETS = "/run/wireguard"
"""Where wireguard-go puts its control sockets; the program has this folder to itself."""

_STARTUP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the link knows of a peer; `latest_handshake` in seconds since the epoch, 0: never.

    `endpoint` is where its encrypted packets came from last, as `address:port`; None before.
    """

    endpoint: str | None
    latest_handshake: int
    received_bytes: int
    sent_bytes: int


class Link:
    """One server's WireGuard link."""

    def __init__(self, namespace: namespaces.Namespace, server: world.Server) -> None:
        """Make the link with a new key.

        Raises:
            namespaces.CommandError: neither the kernel nor wireguard-go makes a link.
        """
        self._namespace = namespace
        self._name = server.link
        self._process = self._create()
        private = namespaces.run("wg", "genkey")
        self.public_key = namespaces.run("wg", "pubkey", stdin=private).strip()
        port = str(world.WIREGUARD_PORT)
        self._wg("listen-port", port, "private-key", "/dev/stdin", stdin=private)
        commands = (
            f"address add {server.vip}/32 dev {self._name}",
            f"link set {self._name} mtu 1420 up",
            f"route add {server.peers} dev {self._name}",
        )
        namespace.run("ip", "-batch", "-", stdin=namespaces.ip_batch(commands))

    def add_peer(self, public_key: str, address: IPv4Address) -> None:
        """Let the holder of `public_key` use `address` in the tunnel."""
        self._wg("peer", public_key, "allowed-ips", f"{address}/32")

    def remove_peer(self, public_key: str) -> None:
        """Forget a peer: its packets get no answer from now on."""
        self._wg("peer", public_key, "remove")

    def traffic(self) -> dict[str, Traffic]:
        """Give what the link knows of its peers, by public key."""
        lines = self._namespace.run("wg", "show", self._name, "dump").splitlines()[1:]
        return dict(_peer_traffic(line) for line in lines)

    def close(self) -> None:
        """End wireguard-go; a kernel link ends with its namespace."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _create(self) -> "subprocess.Popen[bytes] | None":
        try:
            self._namespace.run("ip", "link", "add", self._name, "type", "wireguard")
        except namespaces.CommandError:
            return self._start_wireguard_go()
        return None

    def _start_wireguard_go(self) -> "subprocess.Popen[bytes]":
        # The setting stands for "already in the foreground" and keeps its banner out of the log.
        setting = "WG_PROCESS_FOREGROUND=1"
        process = self._namespace.start("env", setting, "wireguard-go", "-f", self._name)
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise namespaces.CommandError(f"wireguard-go does not start for {self._name}")
            time.sleep(0.02)
        return process

    def _answers(self) -> bool:
        try:
            self._namespace.run("wg", "show", self._name)
        except namespaces.CommandError:
            return False
        return True

    def _wg(self, *settings: str, stdin: str | None = None) -> None:
        self._namespace.run("wg", "set", self._name, *settings, stdin=stdin)


def is_public_key(text: str) -> bool:
    """Tell whether `text` is a WireGuard key: 32 bytes in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _peer_traffic(line: str) -> tuple[str, Traffic]:
    key, _, endpoint, _, handshake, received, sent, _ = line.split("\t")
    known = None if endpoint == "(none)" else endpoint
    return key, Traffic(known, int(handshake), int(received), int(sent))
