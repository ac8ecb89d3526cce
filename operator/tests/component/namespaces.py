"""Real network namespaces for tests, and what runs in them. Needs root."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from piavpn.net import netns

PATIENCE = float(os.environ.get("PIAVPN_TEST_PATIENCE", "1"))
"""By how much longer than usual is waited: a machine that is emulated is slow."""

_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Namespace:
    """A network namespace with its loopback up."""

    name: str
    fd: int

    def entered(self) -> contextlib.AbstractContextManager[None]:
        return netns.entered(self.fd)

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command in the namespace and return what it printed."""
        with self.entered():
            done = subprocess.run(
                command,
                shell=True,
                capture_output=True,
                text=True,
                timeout=30 * PATIENCE,
                check=False,
            )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command}: {done.stderr or done.stdout}")
        return done.stdout

    @contextlib.contextmanager
    def process(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program in the namespace for as long as the block."""
        with self.entered():
            started = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        try:
            yield started
        finally:
            started.kill()
            started.communicate()


@contextlib.contextmanager
def namespace(role: str) -> Iterator[Namespace]:
    """Make a namespace, and take it away with all that runs in it."""
    name = f"pv{os.getpid()}-{next(_numbers)}-{role}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    made = Namespace(name, fd)
    try:
        made.run("ip link set lo up")
        yield made
    finally:
        os.close(fd)
        listed = subprocess.run(
            ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
        )
        for pid in listed.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        subprocess.run(["ip", "netns", "del", name], check=True)


def veth(a: Namespace, a_link: str, b: Namespace, b_link: str) -> None:
    """Join two namespaces by a pair of links, both up."""
    a.run(f"ip link add {a_link} type veth peer name {b_link} netns {b.name}")
    a.run(f"ip link set {a_link} up")
    b.run(f"ip link set {b_link} up")


def eventually(holds: Callable[[], object], *, what: str, seconds: float = 10.0) -> None:
    """Wait until `holds()` is true, or fail saying what never came; PATIENCE multiplies it."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * PATIENCE:g} s: {what}")
        time.sleep(0.02)


def open_to_all(directory: pathlib.Path) -> None:
    """Let what runs as nobody read the files of a test's directory."""
    temporary = pathlib.Path(tempfile.gettempdir())
    for parent in (directory, *directory.parents):
        if temporary in parent.parents:
            parent.chmod(0o755)


def tool(name: str) -> str:
    """Return the path of a program that the tests need."""
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"the tests need {name} in PATH: `make test` puts it there")
    return found


def cni_plugins() -> None:
    """Make sure that the CNI plugins are there."""
    directory = pathlib.Path(os.environ.get("CNI_PATH", "/opt/piavpn/cni"))
    missing = [name for name in ("bridge", "static") if not (directory / name).is_file()]
    if missing:
        raise AssertionError(
            f"the tests need the CNI plugins {missing} in CNI_PATH ({directory}):"
            " `make test` puts them there"
        )
