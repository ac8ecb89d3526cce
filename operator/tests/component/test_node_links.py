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
    # The socket of the killed process is still there until the new one has its own.
    eventually(lambda: _wg("show interfaces") == "piaw0\n", what="the new process answers")


def test_a_link_left_over_in_the_nodes_namespace_is_replaced(
    add: Add, node: Namespace, pod: Namespace
) -> None:
    node.run("ip tuntap add piaw0 mode tun")
    add("piaw0")
    assert "piaw0" not in node.run("ip -o link")
    assert "piaw0" in pod.run("ip -o link")


@pytest.fixture
def replace_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Callable[[str, str], None]:
    """Put a shell script in the place of a program."""

    def replace(program: str, script: str) -> None:
        stand_in = tmp_path / program
        stand_in.write_text(f"#!/bin/sh\n{script}\n")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return replace


@pytest.mark.parametrize(
    ("program", "script", "told"),
    [
        ("wireguard-go", "exit 1", "it said nothing"),
        (
            "wireguard-go",
            "echo starting; echo 'ERROR: no TUN device'; exit 1",
            "ERROR: no TUN device",
        ),
        ("wireguard-go", "echo 'out of memory' >&2; echo >&2; exit 2", "out of memory"),
        ("mount", "echo 'mount: permission denied' >&2; exit 32", "mount: permission denied"),
    ],
)
def test_a_node_that_can_do_neither_kind_is_told_why_and_what_to_do(
    add: Add,
    replace_program: Callable[[str, str], None],
    program: str,
    script: str,
    told: str,
) -> None:
    replace_program(program, script)
    with pytest.raises(links.LinkError) as failed:
        add("piaw0")
    assert str(failed.value) == (
        f"the node has no kernel WireGuard, and wireguard-go did not start ({told}): load the"
        " kernel module wireguard, or see to what wireguard-go needs, such as /dev/net/tun"
    )


def test_the_programs_own_words_are_heard(
    add: Add, replace_program: Callable[[str, str], None]
) -> None:
    program = namespaces.tool("wireguard-go")
    replace_program("wireguard-go", f'WG_TUN_FD=none exec {program} "$@"')
    with pytest.raises(links.LinkError, match=r"\(ERROR: \(piaw0\) .* TUN device: .*syntax\)"):
        add("piaw0")


def test_what_it_says_once_its_link_is_there_is_not_kept_and_does_not_end_it(
    add: Add, replace_program: Callable[[str, str], None], tmp_path: pathlib.Path
) -> None:
    unheard = tmp_path / "unheard"
    replace_program(
        "wireguard-go",
        f'ip tuntap add "$2" mode tun\n'
        "while echo 'ERROR: network is unreachable'; do sleep 0.01; done\n"
        f"touch {unheard}\n"
        "exec sleep 1000",
    )
    add("piaw0")
    eventually(unheard.exists, what="it goes on after words that nobody heard")
