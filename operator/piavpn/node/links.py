"""WireGuard links: made in the node's namespace; a gateway's are then moved into the gateway's.

So their encrypted packets keep leaving by the node, whatever happens to the gateway's pod.
Kernel WireGuard where the node has it, else wireguard-go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

from pyroute2 import IPRoute, NetlinkError

from piavpn.api import names

GATEWAY_UID = 65534
"""User that the gateway's process goes on as; it must be able to reach wireguard-go's socket."""

_CGROUP = "piavpn"
_SOCKETS = pathlib.Path("/run/wireguard")
_START_SECONDS = 5.0
_POLL_SECONDS = 0.01
_LONGEST_WRITE = 65536
_LONGEST_QUOTE = 300
_QUESTION = b"get=1\n\n"
"""What wireguard-go answers once it is all set up, with its settings: it has no keys by then."""

# Runs wireguard-go, which watches /var/run/wireguard/LINK.sock whatever it is told: it gets a mount
# namespace of its own, in which that is the directory of this VPN alone. It leaves the agent's
# cgroups, since the container runtime ends all that is in them with the agent; and the agent's
# token is not left mounted where the agent's end does not reach.
_SCRIPT = """\
set -eu
directory=$1 link=$2
shift 2
for processes; do echo $$ > "$processes"; done
mount --bind "$directory" /run/wireguard
for mounted in /host/sys/fs/cgroup /run/secrets/kubernetes.io/serviceaccount; do
  umount --lazy --recursive "$mounted" 2> /dev/null || true
done
exec wireguard-go --foreground "$link"
"""


class LinkError(Exception):
    """A WireGuard link cannot be made; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Control:
    """Where wireguard-go's control socket is, and whose."""

    directory: pathlib.Path
    uid: int


class Links:
    """Makes WireGuard links; knows the wireguard-go processes that it started."""

    def __init__(self, cgroups: pathlib.Path) -> None:
        """Make none yet.

        Args:
            cgroups: the node's cgroup file system, for wireguard-go.
        """
        self._cgroups = cgroups
        self._processes: list[subprocess.Popen[bytes]] = []

    def add_here(self, name: str, *, directory: pathlib.Path) -> None:
        """Make a WireGuard link of the node's own, which is down at first.

        Args:
            name: of the link; another one of that name is removed.
            directory: for wireguard-go's control socket; nobody but us may reach it.

        Raises:
            LinkError: the node can do neither kernel WireGuard nor wireguard-go.
            pyroute2.NetlinkError: the kernel refused.
        """
        self.reap()
        with IPRoute() as kernel:
            _remove_here(kernel, name)
            if not _add_to_kernel(kernel, name):
                self._add_by_program(name, _Control(directory, os.getuid()))

    def add(self, name: str, *, vpn: str, netns: int, mtu: int) -> None:
        """Make a WireGuard link and move it into a namespace, where it is down at first.

        Args:
            name: of the link, one of `names.TUNNEL_LINKS`.
            vpn: whose link it is.
            netns: open descriptor of the gateway's namespace.
            mtu: of the link.

        Raises:
            LinkError: the node can do neither kernel WireGuard nor wireguard-go.
            pyroute2.NetlinkError: the kernel refused.
        """
        self.reap()
        with IPRoute() as kernel:
            # Left over by an agent that ended between making and moving one.
            _remove_here(kernel, name)
            if not _add_to_kernel(kernel, name):
                directory = pathlib.Path(names.wireguard_directory(vpn))
                self._add_by_program(name, _Control(directory, GATEWAY_UID))
            index = kernel.link_lookup(ifname=name)[0]
            kernel.link("set", index=index, mtu=mtu)
            kernel.link("set", index=index, net_ns_fd=netns)

    def reap(self) -> int:
        """Take note of processes that ended, as each does with its link; return how many live."""
        self._processes = [process for process in self._processes if process.poll() is None]
        return len(self._processes)

    def remove_cgroups(self) -> None:
        """Remove the processes' cgroups unless one of them still lives."""
        self.reap()
        for hierarchy in _hierarchies(self._cgroups):
            with contextlib.suppress(OSError):
                (hierarchy / _CGROUP).rmdir()

    def _add_by_program(self, name: str, control: _Control) -> None:
        """Start wireguard-go, and wait until it answers.

        Its link is there sooner: moved away before all is set, it would get a wrong MTU or none
        to set, at which wireguard-go ends.
        """
        control.directory.mkdir(parents=True, exist_ok=True)
        _SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs, _listening(control, name) as (listening, asked):
            process = _start(name, control, outside(self._cgroups), listening, theirs)
            self._processes.append(process)
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(asked):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise LinkError(
                        "the node has no kernel WireGuard, and wireguard-go did not start"
                        f" ({_last_line(ours)}): load the kernel module wireguard, or see to what"
                        " wireguard-go needs, such as /dev/net/tun"
                    )
                time.sleep(_POLL_SECONDS)


def _remove_here(kernel: IPRoute, name: str) -> None:
    for index in kernel.link_lookup(ifname=name):
        kernel.link("del", index=index)


def _add_to_kernel(kernel: IPRoute, name: str) -> bool:
    try:
        kernel.link("add", ifname=name, kind="wireguard")
    except NetlinkError as error:
        if error.code in (errno.EOPNOTSUPP, errno.ENODEV):
            return False
        raise
    return True


def _answers(asked: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        return bool(asked.recv(1, socket.MSG_DONTWAIT))
    return False


def _last_line(output: socket.socket) -> str:
    """Return the last line that was said, short enough for a condition's message."""
    said = b""
    with contextlib.suppress(BlockingIOError):
        while part := output.recv(_LONGEST_WRITE, socket.MSG_DONTWAIT):
            said += part
    lines = said.decode(errors="replace").split("\n")
    told = [line.strip() for line in lines if line.strip()]
    return told[-1][:_LONGEST_QUOTE] if told else "it said nothing"


def _start(
    name: str,
    control: _Control,
    process_lists: Sequence[pathlib.Path],
    listening: socket.socket,
    output: socket.socket,
) -> subprocess.Popen[bytes]:
    """Start wireguard-go, which tells of failures on standard output.

    It keeps no pipe of ours open: the runtime would wait for its end. `output` is a socket of
    datagrams: once nobody reads them, writing fails and does no harm, where a pipe would end it.
    """
    private_mounts = ("unshare", "--mount", "--propagation", "private")
    arguments = (str(control.directory), name, *(str(path) for path in process_lists))
    try:
        return subprocess.Popen(
            [*private_mounts, "sh", "-c", _SCRIPT, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=output.fileno(),
            start_new_session=True,
            pass_fds=[listening.fileno()],
            env={
                "LOG_LEVEL": "error",
                "PATH": os.environ.get("PATH", os.defpath),
                "WG_PROCESS_FOREGROUND": "1",  # without a banner about the kernel's own
                "WG_UAPI_FD": str(listening.fileno()),
            },
        )
    except OSError as error:
        raise LinkError(f"wireguard-go cannot be started: {error}") from error


@contextlib.contextmanager
def _listening(control: _Control, name: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Make the link's control socket, its user's to use, and a connection to it with a question.

    Not left to wireguard-go: it ends when its socket's owner is changed under it.
    """
    path = control.directory / f"{name}.sock"
    path.unlink(missing_ok=True)
    fd = os.open(control.directory, os.O_DIRECTORY | os.O_CLOEXEC)
    # A socket's own path may have 107 bytes only.
    address = f"/proc/self/fd/{fd}/{path.name}"
    try:
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as asked:
            listening.bind(address)
            listening.listen()
            path.chmod(0o600)
            os.chown(path, control.uid, control.uid)
            os.chown(control.directory, control.uid, control.uid)
            asked.connect(address)
            asked.sendall(_QUESTION)
            yield listening, asked
    finally:
        os.close(fd)


def outside(cgroups: pathlib.Path) -> list[pathlib.Path]:
    """Make a cgroup beside all pods in each hierarchy, and return their lists of processes."""
    return [_made_cgroup(hierarchy) for hierarchy in _hierarchies(cgroups)]


def _hierarchies(cgroups: pathlib.Path) -> list[pathlib.Path]:
    """Return the roots of the hierarchies: one in version 2, one a controller in version 1."""
    unified = (cgroups / "cgroup.controllers").exists()
    roots = [cgroups] if unified else sorted(cgroups.iterdir())
    return [root for root in roots if (root / "cgroup.procs").exists()]


def _made_cgroup(hierarchy: pathlib.Path) -> pathlib.Path:
    group = hierarchy / _CGROUP
    group.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # Version 1 refuses processes in a cpuset without CPUs and memory of its own.
        with contextlib.suppress(FileNotFoundError):
            (group / name).write_text((hierarchy / name).read_text())
    return group / "cgroup.procs"
