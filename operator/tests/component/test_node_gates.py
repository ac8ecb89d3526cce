"""A gate's last words, read from a real container's file system, which may be hostile."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import uuid
from collections.abc import Callable, Iterator

import cgroups
import pytest
from namespaces import eventually

from piavpn.api.conditions import Status
from piavpn.node import gates
from piavpn.node.model import Gate, Owner, Pod, Role
from piavpn.node.report import Report

GATE, APP = "0123abcd", "4567cdef"
Start = Callable[[str, str], subprocess.Popen[bytes]]


@pytest.fixture
def uid() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def start(uid: str) -> Iterator[Start]:
    """Start a container of the pod with a root of its own, in which the script has run."""
    with contextlib.ExitStack() as stack:

        def start(container: str, script: str) -> subprocess.Popen[bytes]:
            command = f"{_OWN_ROOT}\n{script}\nexec chroot /mnt sleep 1000"
            process = subprocess.Popen(["unshare", "--mount", "sh", "-ec", command])
            made = cgroups.enter(process.pid, f"kubepods/pod{uid}/{container}")
            stack.callback(cgroups.remove, made)
            stack.callback(_end, process)
            root = pathlib.Path(f"/proc/{process.pid}/root")
            eventually(lambda: str(root.readlink()) != "/", what="the container")
            return process

        yield start


_OWN_ROOT = """\
mount -t tmpfs none /mnt
for each in bin lib lib64 usr; do
  mkdir /mnt/$each; mount --bind /$each /mnt/$each
done
"""
WORDS = """\
mkdir /mnt/dev
echo 'waiting: there is no default route yet' > /mnt/dev/termination-log
"""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_what_a_gate_waits_for_is_told(start: Start, uid: str) -> None:
    start(GATE, WORDS)
    pod = Pod(
        uid, "app-0", "media", Role.SERVICE, "home", Owner("app", "media"), None, gate=Gate(GATE)
    )
    found = gates.Gates().report(pod, 0.0)
    assert found == Report(Status.FALSE, "Waiting", "there is no default route yet")


def test_no_other_container_and_no_other_pod_speaks_for_the_gate(start: Start, uid: str) -> None:
    start(APP, WORDS)
    assert gates.last_words(uid, GATE) == ""
    assert gates.last_words(str(uuid.uuid4()), APP) == ""
    # The control: it does speak.
    assert gates.last_words(uid, APP) == "there is no default route yet"


@pytest.mark.parametrize(
    "trap",
    [
        "ln -s /dev/words /mnt/dev/termination-log",
        "mkfifo /mnt/dev/termination-log",
        "mkdir /mnt/dev/termination-log",
        "mknod /mnt/dev/termination-log c 1 5",
        ":",
    ],
    ids=["link", "pipe", "directory", "device", "nothing"],
)
def test_nothing_but_a_plain_file_is_read_and_nothing_waited_for(
    start: Start, uid: str, trap: str
) -> None:
    start(GATE, f"mkdir /mnt/dev; echo 'waiting: in vain' > /mnt/dev/words; {trap}")
    assert gates.last_words(uid, GATE) == ""


def test_a_directory_that_leads_out_of_the_container_is_not_followed(
    start: Start, uid: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "termination-log").write_text("waiting: a secret of the node\n")
    start(GATE, f"ln -s {tmp_path} /mnt/dev")
    assert gates.last_words(uid, GATE) == ""
