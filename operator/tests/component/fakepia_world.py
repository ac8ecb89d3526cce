"""The stand-in PIA for component tests, in network namespaces of its own. Needs root.

It is `kind-tests/fakepia`, the same program as on a cluster; the fixture `pia` runs one::

    def test_a_gateway_registers(pia, new_namespace):
        node = new_namespace("node")
        address = pia.attach(node)          # eth0, 172.30.0.10 or the like, route to 198.18.0.0/15
        node.run("curl --max-time 5 http://198.18.200.1/")   # a leak: who-am-I tells `address`
        assert pia.control.leaks().packets > 0
        pia.control.fail({"server": {"zurich401": "dead"}})

`pia.endpoints` is what a client of PIA has to be told, `pia.control` the control API (see
`fakepia.client`), `fakepia.world` holds the addresses and servers. What two tests of a module
share is put right by `pia.control.reset()`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import namespaces

from fakepia import client, world

UPLINK = "uplink"
ROUTER_ADDRESS = "172.30.0.2"
KIND_TESTS = pathlib.Path(client.__file__).parents[1]
_START_SECONDS = 60.0
"""Only a program that hangs takes so long: of one that ended is told at once, and dozens of others
may want the processors beside it."""


@dataclasses.dataclass(frozen=True)
class FakePia:
    """A running stand-in. `router` is its namespace, `log` the file of its log."""

    router: namespaces.Namespace
    control: client.Client
    endpoints: client.Endpoints
    log: pathlib.Path
    _process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(10))

    def attach(self, namespace: namespaces.Namespace, link: str = "eth0") -> str:
        """Join a namespace to the network that nodes are in, and give its address there.

        It gets `link`, an address in 172.30.0.0/24 and routes to the stand-in's Internet by the
        router, and no default route.
        """
        number = next(self._numbers)
        address = f"172.30.0.{number}"
        port = _port(address)
        namespaces.veth(self.router, port, namespace, link)
        self.router.run(f"ip link set {port} master {UPLINK}")
        namespace.run(f"ip address add {address}/24 dev {link}")
        for network in (world.INTERNET, *world.DOCUMENTATION):
            namespace.run(f"ip route add {network} via {ROUTER_ADDRESS}")
        return address

    def unplug(self, address: str) -> None:
        """Take the carrier from the link of the namespace with this address."""
        self.router.run(f"ip link set {_port(address)} down")

    def plug_in(self, address: str) -> None:
        """Give it back."""
        self.router.run(f"ip link set {_port(address)} up")

    def stop(self) -> None:
        """End the program as a container engine does, and wait for its end."""
        _stop(self._process)


@contextlib.contextmanager
def running() -> Iterator[FakePia]:
    """Run a stand-in for as long as the block; it has no clients yet."""
    for name in ("ip", "nft", "wg", "wireguard-go", "setpriv"):
        namespaces.tool(name)
    with (
        namespaces.namespace("pia") as router,
        tempfile.TemporaryDirectory(prefix="fakepia-") as folder,
    ):
        router.run(f"ip link add {UPLINK} type bridge && ip link set {UPLINK} up")
        router.run(f"ip address add {ROUTER_ADDRESS}/24 dev {UPLINK}")
        log = pathlib.Path(folder, "log")
        with _program(router, log) as process:
            control = client.Client(lambda: _connect(router))
            _wait_until_it_answers(control, process, log)
            yield FakePia(router, control, control.endpoints(), log, process)


@contextlib.contextmanager
def _program(router: namespaces.Namespace, log: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, router.entered():
        process = subprocess.Popen(
            [sys.executable, "-m", "fakepia", "--uplink", UPLINK],
            cwd=KIND_TESTS,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        _stop(process)


def _port(address: str) -> str:
    """Return the router's end of the link of the namespace with this address."""
    return f"node{address.rpartition('.')[2]}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)


def _connect(router: namespaces.Namespace) -> socket.socket:
    with router.entered():
        return socket.create_connection(("127.0.0.1", world.CONTROL_PORT), client.TIMEOUT_SECONDS)


def _wait_until_it_answers(
    control: client.Client, process: subprocess.Popen[bytes], log: pathlib.Path
) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"fakepia ended:\n{log.read_text()}")
        try:
            control.endpoints()
        except OSError:
            return False
        return True

    namespaces.eventually(answers, what="an answer of fakepia", seconds=_START_SECONDS)
