"""Which WireGuard a node has, the kernel's or wireguard-go, and what the latter leaves behind."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import namespaces
import pytest

from piavpn.api import names
from piavpn.node import links

Add = Callable[[str], None]
"""Makes a link of that name."""
CGROUPS = pathlib.Path("/sys/fs/cgroup")
VPN = f"linktest{os.getpid()}"
DIRECTORY = pathlib.Path(names.wireguard_directory(VPN))
_OWN_KERNEL = "PIAVPN_TEST_OWN_KERNEL"
"""Set where nobody but the tests uses the kernel, as in the machine of `make kernel`."""
_LOADER = pathlib.Path("/proc/sys/kernel/modprobe")


def in_kernel() -> bool:
    """Tell whether this machine's kernel makes WireGuard links."""
    command = ["unshare", "--net", "ip", "link", "add", "tried", "type", "wireguard"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def not_in_kernel() -> Iterator[None]:
    """Have a kernel without WireGuard; a machine's own is not changed, and the test left out."""
    if not in_kernel():
        yield
        return
    if _OWN_KERNEL not in os.environ:
        pytest.skip(
            "wireguard-go is not used with this kernel: `make kernel` can take that from it"
        )
    loader = _LOADER.read_text()
    subprocess.run(["modprobe", "--remove", "wireguard"], check=True)
    _LOADER.write_text("/nonexistent")
    try:
        assert not in_kernel()
        yield
    finally:
        _LOADER.write_text(loader)


@contextlib.contextmanager
def of_a_node() -> Iterator[links.Links]:
    """Make links as the agent does; at the end nothing of wireguard-go is left."""
    namespaces.tool("wireguard-go")
    made = links.Links(CGROUPS)
    yield made
    for pid in processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    namespaces.eventually(lambda: not made.reap(), what="wireguard-go ends")
    shutil.rmtree(DIRECTORY.parent, ignore_errors=True)
    with contextlib.suppress(OSError):
        DIRECTORY.parent.parent.rmdir()
    made.remove_cgroups()
    assert not _groups()


def processes() -> list[int]:
    """Return the processes of wireguard-go."""
    lists = [(group / "cgroup.procs").read_text().split() for group in _groups()]
    return [int(pid) for pid in sorted({pid for pids in lists for pid in pids})]


def wg(pod: namespaces.Namespace, command: str) -> str:
    """Run wg as a gateway does: its VPN's directory mounted, its own user, and rights there."""
    script = (
        "mkdir -p /run/wireguard"
        f" && if [ -d {DIRECTORY} ]; then mount --bind {DIRECTORY} /run/wireguard; fi"
        " && exec setpriv --reuid 65534 --clear-groups"
        f" --inh-caps=+net_admin --ambient-caps=+net_admin wg {command}"
    )
    return pod.run(f"unshare --mount sh -c '{script}'")


def _groups() -> list[pathlib.Path]:
    return [*CGROUPS.glob("piavpn"), *CGROUPS.glob("*/piavpn")]
