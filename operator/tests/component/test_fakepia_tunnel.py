"""The stand-in's tunnels, its Internet, and its leak detector with its positive controls."""

from __future__ import annotations

import datetime as dt
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import fakepia_world
import namespaces
import pytest
from fakepia_computer import Computer
from fakepia_world import FakePia

from fakepia import client, identity, world

NewNamespace = Callable[[str], namespaces.Namespace]


@pytest.fixture(scope="module")
def running() -> Iterator[FakePia]:
    with fakepia_world.running() as pia:
        yield pia


@pytest.fixture
def pia(running: FakePia) -> FakePia:
    running.control.reset()
    return running


@pytest.fixture
def computer(pia: FakePia, new_namespace: NewNamespace, tmp_path: pathlib.Path) -> Computer:
    return Computer.attached(pia, new_namespace("pc"), tmp_path)


@pytest.mark.parametrize("server", world.SERVERS, ids=lambda server: str(server.cn))
def test_the_internet_sees_a_tunnels_user_at_the_servers_address(
    pia: FakePia, computer: Computer, server: world.Server
) -> None:
    with computer.tunnel(server) as told:
        assert computer.who_am_i() == str(server.address)
        seen = [
            computer.resolve("whoami.test", "A", "10.0.0.243"),
            computer.resolve("whoami.test", "A", "10.0.0.242", tcp=True),
        ]
        assert seen == [[str(server.address)], [str(server.address)]]
        computer.namespace.run(f"ping -c 1 -W 3 {told['server_vip']}")
        (peer,) = pia.control.state().servers[server.cn].peers
    assert (peer.account, peer.address) == ("p1234567", told["peer_ip"])
    assert peer.latest_handshake is not None
    assert peer.received_bytes > 0
    assert pia.control.leaks() == client.Leaks(packets=0, leaks=())


def test_the_internet_takes_bytes_and_tells_how_many(computer: Computer) -> None:
    with (
        computer.tunnel(world.ZURICH401),
        computer.namespace.entered(),
        socket.create_connection(("198.18.200.1", 9), timeout=5) as connection,
    ):
        connection.sendall(bytes(1_000_000))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"1000000\n"


def test_the_internet_gives_bytes_as_long_as_they_are_taken(computer: Computer) -> None:
    with (
        computer.tunnel(world.ZURICH401),
        computer.namespace.entered(),
        socket.create_connection(("198.18.200.1", 19), timeout=5) as connection,
        connection.makefile("rb") as given,
    ):
        assert given.read(1_000_000) == bytes(1_000_000)
        assert given.read(1_000_000) == bytes(1_000_000)


def test_the_filtering_resolver_has_no_address_for_advertisers(computer: Computer) -> None:
    with computer.tunnel(world.ZURICH402):
        assert computer.resolve("banner.ads.test", "A", "10.0.0.243") == ["198.18.200.1"]
        assert computer.resolve("banner.ads.test", "A", "10.0.0.241") == ["0.0.0.0"]
        assert computer.resolve("www.example.test", "A", "10.0.0.241") == ["198.18.200.1"]


def test_a_second_registration_of_an_account_ends_the_first(computer: Computer) -> None:
    with computer.tunnel(world.ZURICH401):
        assert computer.who_am_i() == "198.18.11.1"
        other = computer.namespace.run("wg genkey | wg pubkey").strip()
        elsewhere = computer.add_key(world.AMSTERDAM402, computer.token(), other)
        assert elsewhere.json()["status"] == "OK"
        assert computer.who_am_i() == "198.18.11.1"
        here = computer.add_key(world.ZURICH401, computer.token(), other)
        assert here.json()["status"] == "OK"
        assert computer.who_am_i(seconds=2) is None


def test_a_server_that_forgot_its_peers_answers_them_no_more(
    pia: FakePia, computer: Computer
) -> None:
    with computer.tunnel(world.ZURICH401):
        assert computer.who_am_i() == "198.18.11.1"
        assert pia.control.forget_peers("zurich401") == 1
        assert computer.who_am_i(seconds=2) is None


def test_a_dead_server_drops_everything_until_it_is_alive_again(
    pia: FakePia, computer: Computer
) -> None:
    token = computer.token()
    key = computer.namespace.run("wg genkey | wg pubkey").strip()
    with computer.tunnel(world.ZURICH401):
        with pia.control.failing({"server": {"zurich401": "dead"}}):
            assert computer.who_am_i(seconds=2) is None
            assert computer.add_key(world.ZURICH401, token, key, seconds=2).exit_status == 28
            assert computer.add_key(world.ZURICH402, token, key).json()["status"] == "OK"
        assert computer.who_am_i() == "198.18.11.1"


def test_what_reaches_the_internet_without_a_tunnel_is_a_leak_and_is_answered(
    pia: FakePia, computer: Computer
) -> None:
    computer.add_key(world.ZURICH401, computer.token(), "no key")
    assert pia.control.leaks().packets == 0
    marker = pia.control.mark_leaks()

    computer.namespace.run(f"ping -c 2 -i 0.2 {world.WHOAMI}")
    assert _kinds(pia.control.leaks(marker)) == {(computer.address, "198.18.200.1", "icmp", None)}
    assert computer.resolve("whoami.test", "TXT", "198.18.200.1") == [f'"{computer.address}"']
    assert computer.who_am_i() == computer.address
    assert computer.curl("http://203.0.113.7/").body.strip() == computer.address
    computer.curl("--insecure", f"https://{world.ZURICH401.address}:443/", seconds=0.5)

    leaks = pia.control.leaks(marker)
    assert _kinds(leaks) == {
        (computer.address, "198.18.200.1", "icmp", None),
        (computer.address, "198.18.200.1", "udp", 53),
        (computer.address, "198.18.200.1", "tcp", 80),
        (computer.address, "203.0.113.7", "tcp", 80),
        (computer.address, "198.18.11.1", "tcp", 443),
    }
    assert leaks.packets == sum(leak.packets for leak in leaks.leaks)
    pings = next(leak for leak in leaks.leaks if leak.protocol == "icmp")
    assert pings.packets == 2
    pia.control.reset_leaks()
    assert pia.control.leaks() == client.Leaks(packets=0, leaks=())


def test_an_ipv6_packet_to_beyond_the_router_is_a_leak(pia: FakePia, computer: Computer) -> None:
    (link,) = json.loads(pia.router.run(f"ip -json link show {fakepia_world.UPLINK}"))
    computer.namespace.run("ip -6 address add fd00:1::2/64 dev eth0 nodad")
    computer.namespace.run("ip -6 route add 2001:db8::/32 via fd00:1::1")
    computer.namespace.run(f"ip -6 neigh add fd00:1::1 lladdr {link['address']} dev eth0")
    computer.namespace.run("ping -6 -c 1 -W 1 2001:db8::1", check=False)
    assert _kinds(pia.control.leaks()) == {("fd00:1::2", "2001:db8::1", "ipv6-icmp", None)}


def test_nothing_goes_from_the_internet_to_where_the_clients_are(
    pia: FakePia, computer: Computer
) -> None:
    with computer.namespace.process(
        sys.executable, "-m", "http.server", "8000", "--bind", computer.address
    ):
        url = f"http://{computer.address}:8000/"
        namespaces.eventually(
            lambda: pia.router.run(f"curl -s {url}", check=False), what="the computer's server"
        )
        assert pia.control.connect(computer.address, 8000, "tcp", "GET / HTTP/1.0\r\n\r\n") is None
    inside = pia.control.connect(str(world.WHOAMI), 80, "tcp", "GET / HTTP/1.0\r\n\r\n")
    assert inside is not None
    assert inside.startswith("HTTP/1.1 200 OK")


def test_a_namespace_that_is_in_use_is_left_alone(new_namespace: NewNamespace) -> None:
    used = new_namespace("used")
    used.run("ip link add eth0 type bridge && ip link set eth0 up")
    used.run("ip route add default dev eth0")
    ended = _run_fakepia(used, "--uplink", "eth0")
    assert ended.returncode == 2
    assert "this network namespace has a default route" in ended.stderr
    assert used.run("nft list ruleset") == ""


def test_a_missing_uplink_is_told_in_one_line(new_namespace: NewNamespace) -> None:
    ended = _run_fakepia(new_namespace("bare"), "--uplink", "eth7")
    assert ended.returncode == 1
    assert 'Device "eth7" does not exist.' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_was_set_up_is_gone_when_it_ends() -> None:
    with fakepia_world.running() as pia:
        pia.stop()
        assert pia.router.run("nft list ruleset") == ""
        assert pia.router.run("ip -oneline link show type veth") == ""
        assert pia.router.run("ip route show type unreachable") == ""


def test_keys_that_are_kept_are_the_same_after_a_restart(tmp_path: pathlib.Path) -> None:
    now = dt.datetime.now(dt.UTC)
    first = identity.load_or_create(tmp_path / "kept", now).endpoints()
    assert identity.load_or_create(tmp_path / "kept", now).endpoints() == first
    assert identity.create(now).endpoints() != first


def _kinds(leaks: client.Leaks) -> set[tuple[str, str, str, int | None]]:
    return {
        (leak.source, leak.destination, leak.protocol, leak.destination_port)
        for leak in leaks.leaks
    }


def _run_fakepia(
    namespace: namespaces.Namespace, *arguments: str
) -> subprocess.CompletedProcess[str]:
    with namespace.entered():
        return subprocess.run(
            [sys.executable, "-m", "fakepia", *arguments],
            cwd=fakepia_world.KIND_TESTS,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
