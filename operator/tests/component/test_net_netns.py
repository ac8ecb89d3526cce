from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading

import pytest
from namespaces import Namespace
from pyroute2 import IPRoute

from piavpn.net import netns


def links(kernel: IPRoute) -> set[str]:
    return {link.get_attr("IFLA_IFNAME") for link in kernel.get_links()}


def test_programs_and_netlink_sockets_opened_inside_live_in_the_namespace(pod: Namespace) -> None:
    pod.run("ip link add only-here type veth peer name other-end")
    with netns.entered(pod.fd):
        listed = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
        kernel = IPRoute()
    assert "only-here" in listed.stdout
    with kernel:
        assert links(kernel) == {"lo", "only-here", "other-end"}


def test_proc_sys_net_is_that_of_the_namespace(pod: Namespace) -> None:
    forwarding = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
    outside = forwarding.read_text()
    with netns.entered(pod.fd):
        forwarding.write_text("0" if outside.strip() == "1" else "1")
        assert forwarding.read_text() != outside
    assert forwarding.read_text() == outside


def test_the_thread_is_back_home_after_an_error_inside(pod: Namespace) -> None:
    home = pathlib.Path("/proc/thread-self/ns/net").stat().st_ino
    with pytest.raises(RuntimeError, match="inside"), netns.entered(pod.fd):
        raise RuntimeError("inside")
    assert pathlib.Path("/proc/thread-self/ns/net").stat().st_ino == home


def test_other_threads_stay_where_they_are(pod: Namespace) -> None:
    seen: list[int] = []
    home = pathlib.Path("/proc/thread-self/ns/net").stat().st_ino

    def look() -> None:
        seen.append(pathlib.Path("/proc/thread-self/ns/net").stat().st_ino)

    with netns.entered(pod.fd):
        # Threads made inside inherit the namespace, so this one is made before.
        pass
    other = threading.Thread(target=look)
    other.start()
    with netns.entered(pod.fd):
        inside = pathlib.Path("/proc/thread-self/ns/net").stat().st_ino
    other.join()
    assert seen == [home]
    assert inside == netns.inode(pod.fd) != home


def test_what_is_no_namespace_is_refused() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="cannot enter the network namespace"), netns.entered(fd):
            pass
    finally:
        os.close(fd)


LOST = """
import os
from piavpn.net import netns

fd = netns.create()
with netns.entered(fd):
    print("inside", flush=True)
    {harm}
print("went on", flush=True)
"""


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        ("pass", 0, "inside\nwent on\n"),
        # The way home is one of them.
        ("os.closerange(3, 100)", netns.EXIT_CODE, "inside\n"),
    ],
    ids=["the control", "without a way home"],
)
def test_a_process_that_cannot_get_home_ends_before_it_does_anything_else(
    harm: str, code: int, said: str
) -> None:
    command = [sys.executable, "-c", LOST.format(harm=harm)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, said)
    assert ("the way back to our own network namespace is gone" in done.stderr) == bool(code)
