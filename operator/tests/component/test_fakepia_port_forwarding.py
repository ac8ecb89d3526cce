"""The stand-in's port forwarding: by the tunnel only, for as long as the port is bound."""

from __future__ import annotations

import base64
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import fakepia_world
import namespaces
import pytest
from fakepia_computer import Answer, Computer
from fakepia_world import FakePia

from fakepia import world

ECHO = """
import socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    connection, peer = listener.accept()
    connection.sendall(f"{peer[0]} says ".encode() + connection.recv(100))
    connection.close()
"""


@pytest.fixture(scope="module")
def running() -> Iterator[FakePia]:
    with fakepia_world.running() as pia:
        yield pia


@pytest.fixture
def pia(running: FakePia) -> FakePia:
    running.control.reset()
    return running


@pytest.fixture
def computer(
    pia: FakePia,
    new_namespace: Callable[[str], namespaces.Namespace],
    tmp_path: pathlib.Path,
) -> Computer:
    return Computer.attached(pia, new_namespace("pc"), tmp_path)


def test_a_bound_port_leads_from_the_internet_to_the_peer(pia: FakePia, computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401) as told:
        signed = _signature(computer, world.ZURICH401)
        port = _payload(signed)["port"]
        with computer.namespace.process(sys.executable, "-c", ECHO, str(port)):
            assert pia.control.connect("198.18.11.1", port, "tcp", "hello") is None
            first = _bind(computer, world.ZURICH401, signed)
            again = _bind(computer, world.ZURICH401, signed)
            assert first.json() == {"status": "OK", "message": "port scheduled for add"}
            assert again.json() == {"status": "OK", "message": "timer refreshed"}
            namespaces.eventually(
                lambda: (
                    pia.control.connect("198.18.11.1", port, "tcp", "hello")
                    == "198.18.200.1 says hello"
                ),
                what="an answer at the forwarded port",
            )
        forwarded = pia.control.state().servers["zurich401"].forwarded_ports
        assert forwarded[port] == told["peer_ip"]


def test_a_payload_tells_port_and_expiry_with_nine_digits(computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401):
        payload = _payload(_signature(computer, world.ZURICH401))
    assert sorted(payload) == ["expires_at", "port", "token"]
    assert len(payload["expires_at"]) == len("2026-01-02T03:04:05.123456789Z")


def test_a_signature_holds_on_another_server(computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401):
        signed = _signature(computer, world.ZURICH401)
    with computer.tunnel(world.AMSTERDAM402):
        assert _bind(computer, world.AMSTERDAM402, signed).json()["status"] == "OK"


def test_a_port_goes_to_the_peer_that_bound_it_last(pia: FakePia, computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401) as first:
        signed = _signature(computer, world.ZURICH401)
        _bind(computer, world.ZURICH401, signed)
    with computer.tunnel(world.ZURICH401) as second:
        assert first["peer_ip"] != second["peer_ip"]
        assert _bind(computer, world.ZURICH401, signed).json()["status"] == "OK"
    forwarded = pia.control.state().servers["zurich401"].forwarded_ports
    assert forwarded[_payload(signed)["port"]] == second["peer_ip"]


def test_a_port_that_is_not_bound_again_is_taken_back(pia: FakePia, computer: Computer) -> None:
    pia.control.set_port_forwarding(binding_seconds=2, signature_seconds=3600)
    with computer.tunnel(world.ZURICH401):
        signed = _signature(computer, world.ZURICH401)
        _bind(computer, world.ZURICH401, signed)
        port = _payload(signed)["port"]
        assert port in pia.control.state().servers["zurich401"].forwarded_ports
        namespaces.eventually(
            lambda: port not in pia.control.state().servers["zurich401"].forwarded_ports,
            what="the end of the binding",
        )
        assert f"{port}" not in _forwarded_map(pia)


def test_who_calls_from_outside_the_tunnel_is_unauthorized(computer: Computer) -> None:
    answer = _call(computer, world.ZURICH401, str(world.ZURICH401.address), "getSignature", [])
    assert answer.http_status == 401
    assert answer.json() == {"status": "ERROR", "message": "Unauthorized client"}


def test_a_busy_port_is_told_with_409(pia: FakePia, computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401):
        signed = _signature(computer, world.ZURICH401)
        with pia.control.failing({"portForward": {"*": "busy"}}):
            answer = _bind(computer, world.ZURICH401, signed)
    port = _payload(signed)["port"]
    assert answer.http_status == 409
    assert answer.json()["message"] == f"Port {port} is busy. Please use another server"


def test_an_expired_signature_binds_nothing(pia: FakePia, computer: Computer) -> None:
    pia.control.set_port_forwarding(binding_seconds=60, signature_seconds=0)
    with computer.tunnel(world.ZURICH401):
        answer = _bind(computer, world.ZURICH401, _signature(computer, world.ZURICH401))
    assert answer.json() == {"status": "ERROR", "message": "the signature has expired"}


def test_a_server_without_port_forwarding_refuses_connections(computer: Computer) -> None:
    with computer.tunnel(world.CHICAGO401) as told:
        answer = _call(computer, world.CHICAGO401, told["server_vip"], "getSignature", [])
    assert answer.exit_status == 7


def _signature(computer: Computer, server: world.Server) -> dict[str, str]:
    token = f"token={computer.token()}"
    answer = _call(computer, server, str(server.vip), "getSignature", [token])
    signed = dict(answer.json())
    assert signed.pop("status") == "OK"
    return signed


def _bind(computer: Computer, server: world.Server, signed: dict[str, str]) -> Answer:
    fields = [f"{name}={value}" for name, value in signed.items()]
    return _call(computer, server, str(server.vip), "bindPort", fields)


def _call(
    computer: Computer, server: world.Server, address: str, method: str, fields: list[str]
) -> Answer:
    encoded = [part for field in fields for part in ("--data-urlencode", field)]
    return computer.curl(
        *("--get", "--cacert", "servers.pem", "--connect-to", f"{server.cn}::{address}:"),
        *encoded,
        f"https://{server.cn}:19999/{method}",
    )


def _payload(signed: dict[str, str]) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(signed["payload"])))


def _forwarded_map(pia: FakePia) -> str:
    path = pia.control.state().servers["zurich401"].namespace
    return pia.router.run(f"nsenter --net={path} nft list map inet fakepia forwarded")
