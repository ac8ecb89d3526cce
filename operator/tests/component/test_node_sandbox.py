from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import uuid
from collections.abc import Callable, Iterator

import cgroups
import pytest
from namespaces import Namespace, eventually

from piavpn.net import netns
from piavpn.node import sandbox

Start = Callable[[str, Namespace | None], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process in a cgroup and a namespace, as a container runtime would."""
    with contextlib.ExitStack() as stack:

        def start(cgroup: str, where: Namespace | None) -> int:
            process = _process(where)
            stack.callback(cgroups.remove, cgroups.enter(process.pid, cgroup))
            stack.callback(_end, process)
            return process.pid

        yield start


def _process(where: Namespace | None) -> subprocess.Popen[bytes]:
    with where.entered() if where else contextlib.nullcontext():
        return subprocess.Popen(["sleep", "1000"])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def cgroupfs(uid: str, container: str) -> str:
    return f"kubepods/besteffort/pod{uid}/{container}"


def systemd(uid: str, container: str) -> str:
    pod = f"kubepods-besteffort-pod{uid.replace('-', '_')}.slice"
    return f"kubepods.slice/kubepods-besteffort.slice/{pod}/cri-containerd-{container}.scope"


@pytest.fixture
def uid() -> str:
    return str(uuid.uuid4())


@pytest.mark.parametrize("cgroup", [cgroupfs, systemd])
def test_a_pods_namespace_is_found_under_both_cgroup_drivers(
    start: Start, pod: Namespace, uid: str, cgroup: Callable[[str, str], str]
) -> None:
    pid = start(cgroup(uid, "pause"), pod)
    (found,) = sandbox.Finder().find([uid, str(uuid.uuid4())]).values()
    assert (found.uid, found.inode, found.pid) == (uid, netns.inode(pod.fd), pid)
    with sandbox.pinned(found) as fd:
        assert netns.inode(fd) == netns.inode(pod.fd)


def test_a_runtimes_process_still_in_the_nodes_namespace_does_not_count(
    start: Start, pod: Namespace, uid: str
) -> None:
    start(cgroupfs(uid, "runc"), None)
    assert sandbox.Finder().find([uid]) == {}
    start(cgroupfs(uid, "pause"), pod)
    assert sandbox.Finder().find([uid])[uid].inode == netns.inode(pod.fd)


def test_a_namespace_that_an_app_made_for_itself_is_not_the_pods(
    start: Start, pod: Namespace, new_namespace: Callable[[str], Namespace], uid: str
) -> None:
    pause = start(cgroupfs(uid, "pause"), pod)
    started = pathlib.Path(f"/proc/{pause}/stat").read_text().split()[21]

    def later_process() -> bool:
        clock = _process(None)
        stat = pathlib.Path(f"/proc/{clock.pid}/stat").read_text().split()
        _end(clock)
        return stat[21] != started

    eventually(later_process, what="the clock that process ages are told by ticks")
    start(cgroupfs(uid, "app"), new_namespace("own"))
    assert sandbox.Finder().find([uid])[uid].pid == pause


def test_a_sandbox_that_was_rebuilt_is_another_one(start: Start, pod: Namespace, uid: str) -> None:
    pid = start(cgroupfs(uid, "pause"), pod)
    before = sandbox.Finder().find([uid])[uid]
    os.kill(pid, 9)
    eventually(lambda: not sandbox.Finder().find([uid]), what="the sandbox has ended")
    with pytest.raises(sandbox.SandboxGoneError), sandbox.pinned(before):
        pass
    start(cgroupfs(uid, "pause-again"), pod)
    assert sandbox.Finder().find([uid])[uid] != before


def test_nobody_is_looked_for_in_vain() -> None:
    assert sandbox.Finder().find([]) == {}


def test_a_process_that_comes_to_its_pods_cgroup_late_is_found_all_the_same(
    start: Start, pod: Namespace, uid: str
) -> None:
    finder = sandbox.Finder()
    late = start("kubepods/besteffort", pod)
    assert finder.find([uid]) == {}
    assert finder.find([uid]) == {}
    with contextlib.ExitStack() as stack:
        stack.callback(cgroups.remove, cgroups.enter(late, cgroupfs(uid, "c1")))
        stack.callback(os.kill, late, 9)
        assert finder.find([uid])[uid].pid == late


def test_a_process_that_was_no_such_pods_is_found_as_soon_as_its_pod_is_known(
    start: Start, pod: Namespace, uid: str
) -> None:
    finder = sandbox.Finder()
    pause = start(cgroupfs(uid, "c1"), pod)
    other = str(uuid.uuid4())
    assert finder.find([other]) == {}
    assert finder.find([other, uid])[uid].pid == pause
    assert finder.find([other, uid])[uid].pid == pause
