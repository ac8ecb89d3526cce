"""The gate in real namespaces: it lets the app start in the one good world and in no other.

Each bad world is the good one with a single thing broken, and is mended in the end, so that what
kept the gate waiting is that thing and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

import namespaces
import pytest
from namespaces import Namespace

import piavpn
from piavpn.net import nft

ADDRESS, GATEWAY = "10.100.0.10", "10.100.0.2"
NODE_MAC = "0a:00:00:00:00:01"
LOCK = """
table inet lock {
  chain out {
    type filter hook postrouting priority filter; policy drop;
    oifname "lo" accept
    meta nfproto ipv6 drop
    oifname "vpn0" accept
  }
}
"""
DETECTOR = """
table inet detector {
  counter outside { }
  chain pre {
    type filter hook prerouting priority filter;
    ip daddr 192.0.2.1 counter name outside
  }
}
"""
# The kubelet gives each container a file for its last words.
_OWN_DEV = 'mount -t tmpfs none /dev && touch /dev/termination-log && exec "$@"'
SECONDS = 15.0


@dataclasses.dataclass
class Gate:
    """A gate that runs without any capability, and the lines that it logs."""

    process: subprocess.Popen[str]
    lines: queue.Queue[str]
    reader: threading.Thread

    def left_word(self) -> str:
        """Return its termination message, as the node agent reads it."""
        return pathlib.Path(f"/proc/{self.process.pid}/root/dev/termination-log").read_text()

    def says(self, *words: str) -> str:
        """Return the next line that tells of no check that holds; it must hold these words."""
        line = self.lines.get(timeout=SECONDS)
        while line.startswith("piavpn-gate: ok"):
            line = self.lines.get(timeout=SECONDS)
        assert all(word in line for word in words), line
        return line

    def passes(self) -> None:
        assert self.process.wait(SECONDS) == 0
        *_, last = self.all_lines()
        assert last == "piavpn-gate: ok: 10.100.0.10 goes by the gateway 10.100.0.2 alone\n"

    def all_lines(self) -> list[str]:
        """Return the lines that nobody has read, once the gate has ended."""
        self.reader.join(SECONDS)
        return [self.lines.get() for _ in range(self.lines.qsize())]


@dataclasses.dataclass(frozen=True)
class World:
    """A pod with eth0 to its node and vpn0 to its gateway."""

    pod: Namespace
    node: Namespace
    gateway: Namespace
    resolver: Callable[[], contextlib.AbstractContextManager[object]]

    @contextlib.contextmanager
    def gate(self, **environment: str | None) -> Iterator[Gate]:
        given = {"PIAVPN_ADDRESS": ADDRESS, "PIAVPN_GATEWAY_ADDRESS": GATEWAY, **environment}
        settings = {name: value for name, value in given.items() if value is not None}
        source = pathlib.Path(piavpn.__file__).parent.parent
        # Root without capabilities rather than another user, who may not reach this interpreter.
        command = ["unshare", "--mount", "sh", "-c", _OWN_DEV, "sh"]
        command += ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable]
        with self.pod.entered():
            process = subprocess.Popen(
                [*command, "-m", "piavpn", "gate"],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source), **settings},
                stderr=subprocess.PIPE,
                text=True,
            )
        lines: queue.Queue[str] = queue.Queue()
        assert process.stderr is not None
        reader = threading.Thread(target=_pass_on, args=(process.stderr, lines))
        reader.start()
        try:
            yield Gate(process, lines, reader)
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stderr.close()

    def leaked(self) -> int:
        with self.node.entered():
            return nft.counters("inet detector")["outside"].packets


def _pass_on(log: TextIO, lines: queue.Queue[str]) -> None:
    for line in log:
        lines.put(line)


@pytest.fixture
def world(new_namespace: Callable[[str], Namespace]) -> World:
    pod, node, gateway = (new_namespace(role) for role in ("pod", "node", "gateway"))
    namespaces.veth(pod, "eth0", node, "pod0")
    namespaces.veth(pod, "vpn0", gateway, "vpn0")
    node.run("ip address add 10.244.0.1/24 dev pod0")
    gateway.run(f"ip address add {GATEWAY}/24 dev vpn0")
    pod.run("ip address add 10.244.0.5/24 dev eth0")
    pod.run(f"ip address add {ADDRESS}/24 dev vpn0")
    pod.run(f"ip route add default via {GATEWAY} dev vpn0")
    # What leaves by eth0 must reach the node, or a leak would end in an unanswered ARP request.
    node.run(f"ip link set pod0 address {NODE_MAC}")
    pod.run(f"ip neighbour add 192.0.2.1 dev eth0 lladdr {NODE_MAC}")
    with node.entered():
        nft.load(DETECTOR)
    with pod.entered():
        nft.load(LOCK)
    command = (
        namespaces.tool("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        f"--listen-address={GATEWAY}",
        "--pid-file",
        "--user=root",
    )
    return World(pod, node, gateway, lambda: gateway.process(*command))


def test_a_confined_pod_passes_at_once_and_leaks_nothing(world: World) -> None:
    with world.resolver(), world.gate() as gate:
        assert gate.process.wait(SECONDS) == 0
        assert gate.all_lines() == [
            "piavpn-gate: ok: vpn0 has 10.100.0.10\n",
            "piavpn-gate: ok: the default route goes by the gateway 10.100.0.2 alone\n",
            "piavpn-gate: ok: there is no default route by IPv6\n",
            "piavpn-gate: ok: no datagram gets out by IPv6, nor by any link but vpn0\n",
            "piavpn-gate: ok: the gateway's resolver at 10.100.0.2 answers\n",
            "piavpn-gate: ok: 10.100.0.10 goes by the gateway 10.100.0.2 alone\n",
        ]
    assert world.leaked() == 0


def test_a_pod_that_was_made_before_it_had_an_address_passes_with_the_one_it_was_given(
    world: World,
) -> None:
    world.pod.run("ip link set vpn0 name made")
    with world.resolver(), world.gate(PIAVPN_ADDRESS=None) as gate:
        gate.says("waiting", "vpn0 is not here yet", "piavpn.dev/Accepted")
        world.pod.run("ip link set made name vpn0")
        assert gate.process.wait(SECONDS) == 0
        *_, last = gate.all_lines()
        assert last == "piavpn-gate: ok: the pod goes by the gateway 10.100.0.2 alone\n"
    assert world.leaked() == 0


def test_what_it_waits_for_is_its_last_word_until_it_waits_for_something_else(
    world: World,
) -> None:
    world.pod.run("ip route del default")
    with world.gate() as gate:
        first = gate.says("waiting", "no default route")
        namespaces.eventually(
            lambda: gate.left_word() != "" and gate.left_word() in first, what="its first word"
        )
        assert gate.left_word().startswith("waiting: there is no default route yet")
        world.pod.run(f"ip route add default via {GATEWAY} dev vpn0")
        second = gate.says("waiting", "resolver at 10.100.0.2 does not answer")
        namespaces.eventually(lambda: gate.left_word() in second, what="its next word")
        assert gate.left_word().count("\n") == 1


def test_a_pod_without_lock_waits_until_it_is_locked(world: World) -> None:
    with world.resolver(), world.pod.entered():
        nft.delete_table("inet lock")
        with world.gate() as gate:
            gate.says("waiting", "not locked", "IPv4 to 192.0.2.1: a datagram left")
            # The control of the test above: this detector sees what leaves.
            namespaces.eventually(world.leaked, what="the gate's own probe at the node")
            nft.load(LOCK)
            gate.passes()


def test_a_pod_that_is_locked_for_ipv4_alone_waits(world: World) -> None:
    world.pod.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    world.pod.run("ip -6 address add 2001:db8::5/32 dev eth0 nodad")
    only_ipv4 = LOCK.replace("meta nfproto ipv6 drop", "meta nfproto ipv6 accept")
    with world.resolver(), world.pod.entered():
        nft.delete_table("inet lock")
        nft.load(only_ipv4)
        with world.gate() as gate:
            gate.says("waiting", "not locked", "IPv6 to 2001:db8::1: a datagram left")
            nft.delete_table("inet lock")
            nft.load(LOCK)
            gate.passes()


def test_a_pod_that_gets_out_by_ipv6_through_its_own_link_waits(world: World) -> None:
    leaky = LOCK.replace("meta nfproto ipv6 drop", 'oifname "eth0" meta nfproto ipv6 drop')
    world.pod.run("sysctl -qw net.ipv6.conf.vpn0.disable_ipv6=0")
    world.pod.run("ip -6 address add fd00::5/64 dev vpn0 nodad")
    world.pod.run("ip -6 route add 2001:db8::/32 dev vpn0")
    with world.resolver(), world.pod.entered():
        nft.delete_table("inet lock")
        nft.load(leaky)
        with world.gate() as gate:
            gate.says("waiting", "not locked", "IPv6 to 2001:db8::1: a datagram left")
            nft.delete_table("inet lock")
            nft.load(LOCK)
            gate.passes()


def test_a_third_link_that_is_not_locked_keeps_the_app_from_starting(world: World) -> None:
    leaky = LOCK.replace('oifname "vpn0" accept', 'oifname { "vpn0", "net1" } accept')
    namespaces.veth(world.pod, "net1", world.node, "pod1")
    world.pod.run("ip address add 172.31.0.2/24 dev net1")
    with world.resolver(), world.pod.entered():
        nft.delete_table("inet lock")
        nft.load(leaky)
        with world.gate() as gate:
            gate.says("waiting", "net1 is not locked")
            nft.delete_table("inet lock")
            nft.load(LOCK)
            gate.passes()


def test_a_pod_without_its_link_waits_for_the_node_agent(world: World) -> None:
    world.pod.run("ip link set vpn0 name later")
    with world.resolver(), world.gate() as gate:
        gate.says("waiting", "vpn0 with 10.100.0.10 is not here yet", "node agent")
        world.pod.run("ip link set later down name vpn0")
        world.pod.run("ip link set vpn0 up")
        world.pod.run(f"ip route replace default via {GATEWAY} dev vpn0")
        namespaces.eventually(lambda: gate.process.poll() is not None, what="the gate's end")
        assert gate.process.returncode == 0


def test_another_address_than_the_operators_keeps_the_app_from_starting(world: World) -> None:
    with world.resolver(), world.gate(PIAVPN_ADDRESS="10.100.0.11") as gate:
        gate.says("waiting", "vpn0 has 10.100.0.10 instead of 10.100.0.11")
        world.pod.run("ip address flush dev vpn0")
        world.pod.run("ip address add 10.100.0.11/24 dev vpn0")
        world.pod.run(f"ip route add default via {GATEWAY} dev vpn0")
        assert gate.process.wait(SECONDS) == 0


def test_a_pod_without_default_route_waits(world: World) -> None:
    world.pod.run("ip route del default")
    with world.resolver(), world.gate() as gate:
        gate.says("waiting", "no default route")
        world.pod.run(f"ip route add default via {GATEWAY} dev vpn0")
        gate.passes()


def test_a_default_route_by_the_cluster_network_keeps_the_app_from_starting(world: World) -> None:
    world.pod.run("ip route add default via 10.244.0.1 dev eth0 metric 100")
    with world.resolver(), world.gate() as gate:
        gate.says("waiting", "a default route goes by eth0 via 10.244.0.1")
        world.pod.run("ip route del default via 10.244.0.1 dev eth0 metric 100")
        gate.passes()


def test_an_ipv6_default_route_keeps_the_app_from_starting(world: World) -> None:
    world.pod.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    world.pod.run("ip -6 route add default dev eth0")
    with world.resolver(), world.gate() as gate:
        gate.says("waiting", "IPv6 default route by eth0")
        world.pod.run("ip -6 route del default dev eth0")
        gate.passes()


def test_a_silent_gateway_keeps_the_app_from_starting(world: World) -> None:
    with world.gate() as gate:
        gate.says("waiting", "resolver at 10.100.0.2 does not answer")
        with world.resolver():
            gate.passes()


def test_a_gate_without_its_settings_ends_with_what_is_wrong(world: World) -> None:
    with world.gate(PIAVPN_ADDRESS="ten") as gate:
        gate.says("error: PIAVPN_ADDRESS must hold an IPv4 address and holds 'ten'")
        assert gate.process.wait(SECONDS) == 2


def test_a_waiting_gate_ends_promptly_when_told_to(world: World) -> None:
    with world.gate() as gate:
        gate.says("waiting")
        gate.process.terminate()
        assert gate.process.wait(2) == 143
