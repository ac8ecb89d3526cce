"""The forwarded port against a stand-in of PIA: it reaches the app, and stays."""

from __future__ import annotations

import base64
import ipaddress
import json
import pathlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import gateway_world
import namespaces
import pytest
from fakepia_world import FakePia
from gateway_world import ZURICH401, ZURICH402, World
from kube_api import Api
from namespaces import Namespace
from port_receiver import HEARD, RECEIVER, bound, dial, listening, ports_at

from fakepia.world import FRONT
from piavpn.api.gateway_config import PortForwarding, Renewal
from piavpn.api.protocols import ForwardedProtocol


@pytest.fixture
def world(
    pia: FakePia, new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[World]:
    with gateway_world.logged_in(pia, new_namespace, tmp_path) as world:
        yield world


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_who_dials_the_port_reaches_the_app_and_keeps_the_own_address(
    world: World, protocol: str
) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        port = bound(api)
        with listening(world, port):
            assert dial(world, port, protocol) == HEARD
            # The control: another port of the same server leads nowhere.
            assert dial(world, port - 1, protocol) is None
        assert api.condition("PortForwarded")["message"] == (
            f"Port {port} (TCP and UDP) goes to 10.100.0.10:{port}."
        )
        told = api.status["forwardedPort"]
        assert sorted(told) == ["expiresAt", "lastBoundAt", "port"]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_app_that_dials_the_port_from_behind_the_tunnel_reaches_it_too(
    world: World, protocol: str
) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        port = bound(api)
        with listening(world, port):
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            with world.app.entered(), socket.socket(socket.AF_INET, kind) as caller:
                caller.settimeout(5)
                caller.connect(("198.18.11.1", port))
                for _ in range(2 if protocol == "udp" else 1):
                    caller.send(b"hello")
                    assert caller.recv(100) == b"10.100.0.2 says hello"
        # Nothing else of that address is led back.
        with world.app.entered(), socket.socket(socket.AF_INET) as other:
            other.settimeout(2)
            assert other.connect_ex(("198.18.11.1", port - 1)) != 0
        assert world.exit_address() == "198.18.11.1"


def test_whether_the_port_is_open_is_asked_outside_and_told(world: World) -> None:
    url = f"https://{FRONT}/port/{{port}}"
    world.tell(ZURICH401, port_forwarding=RECEIVER, port_check_url=url)

    def told(reason: str) -> None:
        namespaces.eventually(
            lambda: api.condition("PortOpen").get("reason") == reason, what=reason, seconds=40
        )

    with world.api() as api, world.gateway():
        port = bound(api)
        told("NotReached")
        with listening(world, port):
            told("Reached")
        assert api.condition("PortOpen")["status"] == "True"
        # The next try is due in an hour, unless somebody asks.
        asked = datetime.now(UTC).replace(microsecond=0)
        world.tell(
            ZURICH401,
            port_forwarding=RECEIVER,
            port_check_url=url,
            port_check_requested_time=asked,
        )
        told("NotReached")
        namespaces.eventually(lambda: "PortChecked" in api.told(), what="an Event")
    assert api.told().count("PortChecked") == 1


def test_the_port_can_go_to_a_fixed_one_by_one_protocol_alone(world: World) -> None:
    receiver = PortForwarding(RECEIVER.address, ForwardedProtocol.UDP, 6881)
    world.tell(ZURICH401, port_forwarding=receiver)
    with world.api() as api, world.gateway():
        port = bound(api)
        with listening(world, 6881):
            assert dial(world, port, "udp") == HEARD
            assert dial(world, port, "tcp") is None


def test_pia_is_asked_for_no_port_until_an_app_wants_one(world: World) -> None:
    world.tell(ZURICH401)
    with world.api() as api, world.gateway():
        world.wait_until_up()
        assert ports_at(world, "zurich401") == set()
        world.tell(ZURICH401, port_forwarding=RECEIVER)
        port = bound(api)
        world.tell(ZURICH401)
        namespaces.eventually(lambda: "forwardedPort" not in api.status, what="no port")
        assert api.condition("PortForwarded") == {}
        with listening(world, port):
            assert dial(world, port) is None
        world.tell(ZURICH401, port_forwarding=RECEIVER)
        assert bound(api) == port


def test_the_port_outlives_the_gateways_process(world: World) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.api() as api:
        with world.gateway():
            port = bound(api)
        api.status.clear()
        with world.gateway():
            assert bound(api) == port
            with listening(world, port):
                assert dial(world, port) == HEARD


def test_the_port_outlives_the_gateways_pod_by_its_secret(world: World) -> None:
    world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER)
    with world.api() as api:
        with world.gateway():
            port = bound(api)
            namespaces.eventually(lambda: "home" in api.secret, what="the Secret")
        _another_pod(world, api)
        with world.gateway():
            assert bound(api) == port
            with listening(world, port):
                assert dial(world, port) == HEARD


def _another_pod(world: World, api: Api) -> None:
    """Have a new pod start: its memory is empty, and the kubelet mounts the Secret."""
    for file in (world.folder / "state").iterdir():
        file.unlink()
    content = base64.b64decode(api.secret["home"]).decode()
    assert sorted(json.loads(content)) == ["payload", "signature"]
    (world.folder / "port" / "port.json").write_text(content)
    api.status.clear()


def test_the_port_is_the_same_after_its_server_died(world: World) -> None:
    world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        port = bound(api)
        world.pia.control.fail({"server": {"zurich401": "dead"}})

        def moved() -> bool:
            return port in ports_at(world, "zurich402")

        namespaces.eventually(moved, what="the port at the other server", seconds=20)
        assert bound(api) == port
        with listening(world, port):
            assert dial(world, port, address="198.18.11.2") == HEARD


def test_a_renewal_keeps_the_port_and_callers_reach_it_at_both_servers(world: World) -> None:
    world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        port = bound(api)
        renewal = Renewal(api.status["session"]["publicKey"], datetime.now(UTC))
        with listening(world, port):
            world.tell(ZURICH401, ZURICH402, port_forwarding=RECEIVER, renewal=renewal)
            namespaces.eventually(
                lambda: port in ports_at(world, "zurich402"), what="the port at the other server"
            )
            assert dial(world, port, address="198.18.11.2") == HEARD
            assert dial(world, port, "udp", address="198.18.11.2") == HEARD
            # The old session drains: who calls there is still led to the app.
            assert dial(world, port, address="198.18.11.1") == HEARD
        assert bound(api) == port


def test_the_port_works_while_the_api_is_down(world: World) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.gateway():

        def port() -> int:
            return next(iter(ports_at(world, "zurich401")), 0)

        namespaces.eventually(lambda: port() != 0, what="a bound port")
        with listening(world, port()):
            assert dial(world, port()) == HEARD
        with world.api() as api:
            assert bound(api) == port()
            namespaces.eventually(lambda: "home" in api.secret, what="the Secret")


def test_connections_of_a_receiver_that_is_none_any_more_are_forgotten(world: World) -> None:
    world.tell(ZURICH401, port_forwarding=RECEIVER)
    with world.api() as api, world.gateway():
        port = bound(api)
        with listening(world, port):
            assert dial(world, port, "udp") == HEARD
            assert dial(world, port, "tcp") == HEARD

            def tracked(protocol: str) -> list[str]:
                listed = world.pod.run(f"conntrack -L -p {protocol} --dst-nat 2>/dev/null")
                return [line for line in listed.splitlines() if f"dport={port} " in line]

            assert (len(tracked("tcp")), len(tracked("udp"))) == (1, 1)
            elsewhere = PortForwarding(ipaddress.IPv4Address("10.100.0.11"))
            world.tell(ZURICH401, port_forwarding=elsewhere)
            namespaces.eventually(
                lambda: not tracked("tcp") and not tracked("udp"), what="no tracked connection"
            )
