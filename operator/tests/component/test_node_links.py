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
from namespaces import Namespace, eventually

from piavpn.api import names
from piavpn.node import links

VPN = f"linktest{os.getpid()}"
DIRECTORY = pathlib.Path(names.wireguard_directory(VPN))
CGROUPS = pathlib.Path("/sys/fs/cgroup")


Add = Callable[[str], None]


@pytest.fixture
def wireguard() -> Iterator[links.Links]:
    namespaces.tool("wireguard-go")
    wireguard = links.Links(CGROUPS)
    yield wireguard
    for pid in _processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    eventually(lambda: not wireguard.reap(), what="wireguard-go ends")
    shutil.rmtree(DIRECTORY.parent, ignore_errors=True)
    with contextlib.suppress(OSError):
        DIRECTORY.parent.parent.rmdir()
    wireguard.remove_cgroups()
    assert not _groups()


@pytest.fixture
def add(wireguard: links.Links, node: Namespace, pod: Namespace) -> Add:
    """Make a link of that name, from the node's namespace, in the pod's."""

    def add(name: str) -> None:
        with node.entered():
            wireguard.add(name, vpn=VPN, netns=pod.fd, mtu=1380)

    return add


def _groups() -> list[pathlib.Path]:
    return [*CGROUPS.glob("piavpn"), *CGROUPS.glob("*/piavpn")]


def _processes() -> list[int]:
    """Return the links' processes."""
    lists = [(group / "cgroup.procs").read_text().split() for group in _groups()]
    return [int(pid) for pid in sorted({pid for pids in lists for pid in pids})]


def _wg(command: str) -> str:
    """Run wg as a gateway does: with its own VPN's directory mounted, as its own user."""
    script = 'mount --bind "$0" /run/wireguard && exec setpriv --reuid 65534 --clear-groups $1'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(DIRECTORY), f"wg {command}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_link_is_in_the_gateways_namespace_and_its_packets_leave_by_the_nodes(
    add: Add, node: Namespace, pod: Namespace
) -> None:
    add("piaw0")
    add("piaw1")
    assert "piaw" not in node.run("ip -o link")
    assert "mtu 1380" in pod.run("ip -o link show piaw0")
    pod.run("ip link set piaw0 up")
    eventually(lambda: "wireguard-go" in node.run("ss -lunp"), what="its socket in the node's")
    assert "wireguard-go" not in pod.run("ss -lunp")


def test_the_gateways_user_configures_its_link_by_its_own_directory(add: Add) -> None:
    add("piaw0")
    assert _wg("show interfaces") == "piaw0\n"
    _wg("set piaw0 listen-port 51000")
    assert "51000" in _wg("show piaw0 listen-port")


def test_the_process_is_outside_of_all_our_cgroups_and_ends_with_the_link(
    add: Add, wireguard: links.Links, pod: Namespace
) -> None:
    add("piaw0")
    (pid,) = _processes()
    cgroups = pathlib.Path(f"/proc/{pid}/cgroup").read_text().split()
    assert all(line.endswith(":/piavpn") for line in cgroups)
    pod.run("ip link del piaw0")
    eventually(lambda: not wireguard.reap(), what="wireguard-go ends")


def test_a_link_whose_process_was_killed_is_made_again(add: Add, pod: Namespace) -> None:
    add("piaw0")
    (pid,) = _processes()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "piaw0" not in pod.run("ip -o link"), what="the link goes")
    add("piaw0")
    assert _wg("show interfaces") == "piaw0\n"


def test_a_link_left_over_in_the_nodes_namespace_is_replaced(
    add: Add, node: Namespace, pod: Namespace
) -> None:
    node.run("ip tuntap add piaw0 mode tun")
    add("piaw0")
    assert "piaw0" not in node.run("ip -o link")
    assert "piaw0" in pod.run("ip -o link")


def test_a_node_that_can_do_neither_kind_is_told_what_to_do(
    add: Add, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "wireguard-go"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(links.LinkError, match="load the kernel module wireguard"):
        add("piaw0")
