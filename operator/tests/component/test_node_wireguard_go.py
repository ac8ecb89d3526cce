"""wireguard-go, which the agent starts where the kernel has no WireGuard."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import namespaces
import pytest
import wireguards
from namespaces import Namespace, eventually

from piavpn.node import links


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> Iterator[None]:
    with wireguards.not_in_kernel():
        yield


def test_the_process_is_outside_of_all_our_cgroups_and_ends_with_the_link(
    add_link: wireguards.Add, wireguard: links.Links, pod: Namespace
) -> None:
    add_link("piaw0")
    (pid,) = wireguards.processes()
    cgroups = pathlib.Path(f"/proc/{pid}/cgroup").read_text().split()
    assert all(line.endswith(":/piavpn") for line in cgroups)
    pod.run("ip link del piaw0")
    eventually(lambda: not wireguard.reap(), what="wireguard-go ends")


def test_a_link_whose_process_was_killed_is_made_again(
    add_link: wireguards.Add, pod: Namespace
) -> None:
    add_link("piaw0")
    (pid,) = wireguards.processes()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "piaw0" not in pod.run("ip -o link"), what="the link goes")
    add_link("piaw0")
    # The socket of the killed process is still there until the new one has its own.
    eventually(
        lambda: wireguards.wg(pod, "show interfaces") == "piaw0\n", what="the new process answers"
    )


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
    add_link: wireguards.Add,
    replace_program: Callable[[str, str], None],
    program: str,
    script: str,
    told: str,
) -> None:
    replace_program(program, script)
    with pytest.raises(links.LinkError) as failed:
        add_link("piaw0")
    assert str(failed.value) == (
        f"the node has no kernel WireGuard, and wireguard-go did not start ({told}): load the"
        " kernel module wireguard, or see to what wireguard-go needs, such as /dev/net/tun"
    )


def test_the_programs_own_words_are_heard(
    add_link: wireguards.Add, replace_program: Callable[[str, str], None]
) -> None:
    program = namespaces.tool("wireguard-go")
    replace_program("wireguard-go", f'WG_TUN_FD=none exec {program} "$@"')
    with pytest.raises(links.LinkError, match=r"\(ERROR: \(piaw0\) .* TUN device: .*syntax\)"):
        add_link("piaw0")


def test_what_it_says_once_its_link_is_there_is_not_kept_and_does_not_end_it(
    add_link: wireguards.Add, replace_program: Callable[[str, str], None], tmp_path: pathlib.Path
) -> None:
    unheard = tmp_path / "unheard"
    words = "while echo 'ERROR: network is unreachable'; do sleep 0.01; done"
    replace_program(
        "wireguard-go",
        f'({words}; touch {unheard}) &\nexec {namespaces.tool("wireguard-go")} "$@"',
    )
    add_link("piaw0")
    eventually(unheard.exists, what="it goes on after words that nobody heard")


def test_a_link_is_the_programs_alone_until_it_is_all_set_up(
    add_link: wireguards.Add,
    replace_program: Callable[[str, str], None],
    wireguard: links.Links,
    node: Namespace,
    pod: Namespace,
) -> None:
    program = namespaces.tool("wireguard-go")
    early = 'ip tuntap add "$2" mode tun && sleep 0.3 && ip link set "$2" mtu 1420'
    replace_program("wireguard-go", f'{early} && ip link del "$2" && exec {program} "$@" || exit 1')
    add_link("piaw0")
    assert "piaw0" not in node.run("ip -o link")
    assert "mtu 1380" in pod.run("ip -o link show piaw0")
    assert wireguard.reap() == 1
