"""The gateway's program, run as its container would run it. Needs root."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping

import namespaces
from namespaces import Namespace

import piavpn

CAPABILITIES = "+net_admin,+net_raw,+net_bind_service,+setuid,+setgid,+setpcap"
PROGRAM = """
import pathlib, sys
from piavpn.gateway import inputs, main
folder = pathlib.Path("/run/world")
sys.exit(main.run(inputs.Files(
    config=folder / "config" / "config.json",
    token=folder / "account" / "token",
    port=folder / "port" / "port.json",
    resolv_conf=folder / "resolv.conf",
    state=folder / "state",
)))
"""


@dataclasses.dataclass
class Process:
    """A running gateway."""

    started: subprocess.Popen[bytes]
    log: pathlib.Path

    def logs(self) -> str:
        return self.log.read_text()

    def status(self) -> dict[str, str]:
        """Return what the kernel says of the program: /proc/PID/status."""
        lines = pathlib.Path(f"/proc/{self._program()}/status").read_text().splitlines()
        pairs = (line.split(":", 1) for line in lines)
        return {name: " ".join(value.split()) for name, value in pairs}

    def kill_resolver(self) -> None:
        for child in _children(self._program()):  # there may be a `wg` or an `nft` beside it
            if pathlib.Path(f"/proc/{child}/comm").read_text() == "dnsmasq\n":
                os.kill(child, signal.SIGKILL)

    def terminate(self) -> None:
        """Tell it to end, as the kubelet does."""
        os.kill(self._program(), signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does, and with it all that it started."""
        os.kill(self._program(), signal.SIGKILL)
        self.started.wait()

    def _program(self) -> int:
        """Return the program's process, the only child of `unshare`."""
        namespaces.eventually(lambda: _children(self.started.pid), what="the gateway's start")
        (program,) = _children(self.started.pid)
        return program


@contextlib.contextmanager
def running(pod: Namespace, folder: pathlib.Path) -> Iterator[Process]:
    """Run it in a namespace: root with six capabilities, first process of its own.

    Args:
        pod: the gateway's network namespace.
        folder: what the kubelet mounts: config, account, resolv.conf, state, wireguard.
    """
    log = folder / "log"
    binds = {
        folder / "wireguard": "/run/wireguard",
        folder: "/run/world",
        pathlib.Path(sys.base_prefix): "/run/python",
        pathlib.Path(piavpn.__file__).parent.parent: "/run/source",
        pathlib.Path(sysconfig.get_path("purelib")): "/run/packages",
    }
    command = [
        *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
        *("sh", "-c", f'{mounts(binds)} && exec "$@"', "sh"),
        *("setpriv", f"--bounding-set=-all,{CAPABILITIES}", "--inh-caps=-all"),
        *(f"/run/python/bin/python{sys.version_info.major}", "-c", PROGRAM),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONHOME": "/run/python",
        "PYTHONPATH": "/run/source:/run/packages",
        "KUBECONFIG": "/run/world/kubeconfig",
        "PIAVPN_VPN": "home",
        "PIAVPN_NAMESPACE": "piavpn-system",
    }
    with pod.entered(), log.open("ab") as output:
        started = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    process = Process(started, log)
    try:
        yield process
    finally:
        if started.poll() is None:
            process.kill()


def mounts(binds: Mapping[pathlib.Path, str]) -> str:
    """Return a shell command that shows these directories below a /run of the process's own.

    What runs there as nobody reaches them, wherever they are and whoever may look into the
    directories above.
    """
    there = [f"mkdir {mine} && mount --bind {theirs} {mine}" for theirs, mine in binds.items()]
    return " && ".join(["mount -t tmpfs none /run", *there])


def _children(process: int) -> list[int]:
    listed = pathlib.Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for thread in listed for child in thread.read_text().split()]
