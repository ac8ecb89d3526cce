from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import namespaces
import pytest
from namespaces import Namespace, eventually
from nodeworld import CLUSTER, NETWORK, OUTSIDE, World, service

from piavpn.api.gateway_config import Server
from piavpn.node import guard, model, ports
from piavpn.node.attach import Done
from piavpn.node.canonical import Canonical
from piavpn.node.host import Host, Problems
from piavpn.node.links import Links
from piavpn.node.model import Role
from piavpn.node.outlet import Inside
from piavpn.node.outlets import Outlets
from piavpn.node.plans import NodePlan

SERVER = Server(region="r", cn="server", address=IPv4Address(OUTSIDE), port=1337)
OTHER_SERVER = dataclasses.replace(SERVER, port=1443)
INSIDE = Inside(CLUSTER, ())
PLAN = NodePlan(networks={"home": NETWORK}, proxies={"home": (SERVER,)}, pods={}, inside=INSIDE)
NOTHING = NodePlan(networks={}, proxies={}, pods={}, inside=INSIDE)
VPN_GONE = dataclasses.replace(NOTHING, inhabited=frozenset({"home"}))


@pytest.fixture
def host(world: World, tmp_path: pathlib.Path) -> Iterator[Host]:
    """The node's side; the test's thread is in the node's namespace, as the agent is."""
    namespaces.tool("tinyproxy")
    namespaces.open_to_all(tmp_path)  # for the proxy
    with world.node.entered():
        known = Canonical()
        outlets, state = Outlets(known), tmp_path / "state"
        made = Host(known, Links(tmp_path), outlets, state, removal_seconds=0)
        yield made
        made.stop()


def station(world: World, new_namespace: Callable[[str], Namespace], address: str) -> Namespace:
    """Put a namespace on the bridge as a pod's port, but without any lock inside."""
    made = new_namespace("station")
    port = f"port{address.rpartition('.')[2]}"
    namespaces.veth(world.node, port, made, "vpn0")
    world.node.run(f"ip link set {port} master br-home")
    role = Role.GATEWAY if address == "10.100.0.2" else Role.SERVICE
    ports.assign(port, guard.Owner(role, IPv4Address(address)))
    made.run(f"ip link set vpn0 address {model.mac_of(IPv4Address(address))}")
    made.run(f"ip addr add {address}/24 dev vpn0; ip route add default via 10.100.0.1")
    return made


def connect(where: Namespace, address: str, port: int) -> socket.socket:
    with where.entered():
        return socket.create_connection((address, port), timeout=1)


def proxied(where: Namespace, target: str) -> str:
    """Return the status line of a CONNECT."""
    with connect(where, "10.100.0.1", 8888) as client:
        client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return client.recv(100).decode().partition("\r\n")[0]


class Answering(socketserver.BaseRequestHandler):
    """Says what it was told."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.request.sendall(self.request.recv(100))


@contextlib.contextmanager
def listening(where: Namespace, address: str, port: int) -> Iterator[None]:
    with where.entered():
        server = socketserver.ThreadingTCPServer((address, port), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_node_is_set_up_and_a_second_time_changes_nothing(world: World, host: Host) -> None:
    assert host.bring(PLAN) == Problems()
    described = world.node.run("ip -d addr show br-home")
    assert "inet 10.100.0.1/24" in described
    assert "link/ether 02:76:0a:64:00:01" in described
    assert "mtu 1420" in described
    assert "inet6" not in described
    before = world.node.run("ip addr; ip route; nft list ruleset")
    assert host.bring(PLAN) == Problems()
    assert world.node.run("ip addr; ip route; nft list ruleset") == before


def test_a_subnet_that_another_vpn_was_given_is_free_for_it_at_once(
    world: World, tmp_path: pathlib.Path
) -> None:
    other = dataclasses.replace(NETWORK, vpn="other", bridge="br-other")
    with world.node.entered():
        known = Canonical()
        outlets, state = Outlets(known), tmp_path / "state"
        host = Host(known, Links(tmp_path), outlets, state, removal_seconds=3600)
        assert host.bring(dataclasses.replace(PLAN, proxies={})) == Problems()
        moved = dataclasses.replace(PLAN, networks={"other": other}, proxies={})
        assert host.bring(moved) == Problems()
        host.stop()
    links = world.node.run("ip -brief link")
    assert "br-other" in links
    assert "br-home" not in links


def test_the_gateway_alone_gets_through_the_proxy_and_to_its_servers_alone(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    gateway = station(world, new_namespace, "10.100.0.2")
    app = station(world, new_namespace, "10.100.0.10")
    with listening(world.outside, OUTSIDE, 1337), listening(world.outside, OUTSIDE, 1443):
        eventually(lambda: _answers(gateway), what="the proxy listens")
        assert proxied(gateway, f"{OUTSIDE}:1337") == "HTTP/1.0 200 Connection established"
        assert " 403 " in proxied(gateway, f"{OUTSIDE}:1443")
        assert " 403 " in proxied(gateway, "203.0.113.99:1337")
        with pytest.raises(TimeoutError):
            proxied(app, f"{OUTSIDE}:1337")


def _answers(gateway: Namespace) -> bool:
    with contextlib.suppress(OSError):
        connect(gateway, "10.100.0.1", 8888).close()
        return True
    return False


def _allowed(gateway: Namespace, target: str) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return " 200 " in proxied(gateway, target)
    return False


def test_a_new_allow_list_counts_at_once_and_interrupts_nothing(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    gateway = station(world, new_namespace, "10.100.0.2")
    with listening(world.outside, OUTSIDE, 1337), listening(world.outside, OUTSIDE, 1443):
        eventually(lambda: _answers(gateway), what="the proxy listens")
        with connect(gateway, "10.100.0.1", 8888) as held:
            held.sendall(f"CONNECT {OUTSIDE}:1337 HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in held.recv(200)
            host.bring(dataclasses.replace(PLAN, proxies={"home": (OTHER_SERVER,)}))
            eventually(lambda: _allowed(gateway, f"{OUTSIDE}:1443"), what="the new server")
            assert " 403 " in proxied(gateway, f"{OUTSIDE}:1337")
            held.sendall(b"still there")
            assert held.recv(200) == b"still there"


def test_a_proxy_that_was_killed_is_started_again(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    gateway = station(world, new_namespace, "10.100.0.2")
    eventually(lambda: _answers(gateway), what="the proxy listens")
    pid = world.node.run("ss -lntpH sport = 8888").partition("pid=")[2].partition(",")[0]
    world.node.run(f"kill -9 {pid}")
    eventually(lambda: host.bring(PLAN) == Problems() and _answers(gateway), what="it is back")


def test_nothing_else_of_the_node_or_beyond_is_reached_from_the_bridge(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    app = station(world, new_namespace, "10.100.0.10")
    attempts = [("10.100.0.1", 22), ("203.0.113.1", 22), (OUTSIDE, 80), ("10.244.0.5", 80)]
    with (
        listening(world.node, "0.0.0.0", 22),
        listening(world.outside, OUTSIDE, 80),
        listening(world.pod().namespace, "0.0.0.0", 80),
    ):
        for address, port in attempts:
            with pytest.raises(TimeoutError):
                connect(app, address, port)
        # The control: it is the filter that stopped them.
        world.node.run("nft delete table inet piavpn_host")
        world.node.run("sysctl -qw net.ipv4.conf.br-home.forwarding=1")
        world.outside.run("ip route add 10.100.0.0/24 via 203.0.113.1")
        for address, port in attempts[:3]:
            connect(app, address, port).close()


def test_the_node_reaches_the_bridge(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    app = station(world, new_namespace, "10.100.0.10")
    with listening(app, "10.100.0.10", 80):
        connect(world.node, "10.100.0.10", 80).close()


def test_a_filter_that_was_changed_is_repaired(world: World, host: Host) -> None:
    host.bring(PLAN)
    before = world.node.run("nft list table inet piavpn_host")
    world.node.run("nft flush chain inet piavpn_host forwarded")
    host.bring(PLAN)
    assert world.node.run("nft list table inet piavpn_host") == before


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("ip addr add 10.100.0.77/24 dev wan", "10.100.0.0/24 on wan"),
        ("ip route add 10.100.0.128/25 via 203.0.113.9", "10.100.0.128/25 on wan"),
        ("ip link add br-home type veth peer name other", "link br-home that is not the operator"),
    ],
)
def test_what_the_node_uses_itself_is_not_taken(
    world: World, host: Host, taken: str, told: str
) -> None:
    world.node.run(taken)
    problem = host.bring(PLAN).bridges["home"]
    assert problem.reason == "SubnetInUse"
    assert told in problem.message


def test_who_has_a_subnet_that_the_node_uses_is_told_the_only_way_to_another(
    world: World, host: Host
) -> None:
    world.node.run("ip addr add 10.100.0.77/24 dev wan")
    assert host.bring(PLAN).bridges["home"].message == (
        "subnet 10.100.0.0/24 overlaps the node's route to 10.100.0.0/24 on wan: delete the PiaVpn"
        " and create it again with another spec.network.subnet"
    )


def test_a_bridge_is_renumbered_with_its_network(world: World, host: Host) -> None:
    host.bring(PLAN)
    moved = dataclasses.replace(
        NETWORK,
        subnet=IPv4Network("10.101.0.0/24"),
        host=IPv4Address("10.101.0.1"),
        gateway=IPv4Address("10.101.0.2"),
    )
    assert host.bring(dataclasses.replace(PLAN, networks={"home": moved})) == Problems()
    assert "10.100.0" not in world.node.run("ip addr; ip route; nft list ruleset")
    assert "inet 10.101.0.1/24" in world.node.run("ip addr show br-home")


def test_a_wider_route_by_a_next_hop_is_no_obstacle(world: World, host: Host) -> None:
    world.node.run("ip route add 10.0.0.0/8 via 203.0.113.9")
    assert host.bring(PLAN) == Problems()


def test_a_vpn_that_is_gone_leaves_nothing_behind(
    world: World, host: Host, tmp_path: pathlib.Path
) -> None:
    before = world.node.run("ip addr; ip route; nft list ruleset")
    host.bring(PLAN)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["home"]
    host.bring(NOTHING)
    host.bring(NOTHING)
    assert world.node.run("ip addr; ip route; nft list ruleset") == before
    assert not list((tmp_path / "state").iterdir())
    assert "tinyproxy" not in world.node.run("ss -lntp")


def test_an_agent_that_ends_removes_at_once_what_no_pod_needs(
    world: World, tmp_path: pathlib.Path
) -> None:
    with world.node.entered():
        known = Canonical()
        host = Host(known, Links(tmp_path), Outlets(known), tmp_path / "state")
        before = world.node.run("ip addr; ip route; nft list ruleset")
        planned = dataclasses.replace(PLAN, proxies={})
        host.bring(planned)
        filters = world.node.run("nft --stateless list ruleset")
        host.leave(planned)
        assert "inet 10.100.0.1/24" in world.node.run("ip addr show br-home")
        assert world.node.run("nft --stateless list ruleset") == filters
        host.leave(NOTHING)
    assert world.node.run("ip addr; ip route; nft list ruleset") == before


def test_a_new_agent_removes_what_one_before_it_left_that_no_pod_needs(
    world: World, host: Host, tmp_path: pathlib.Path
) -> None:
    before = world.node.run("ip addr; ip route; nft list ruleset")
    with world.node.entered():
        known = Canonical()
        killed = Host(known, Links(tmp_path), Outlets(known), tmp_path / "state")
        killed.bring(dataclasses.replace(PLAN, proxies={}))
    host.bring(NOTHING)
    host.bring(NOTHING)
    assert world.node.run("ip addr; ip route; nft list ruleset") == before


def test_an_agent_that_ends_leaves_a_bridge_with_a_pod_on_it(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    host.bring(PLAN)
    station(world, new_namespace, "10.100.0.10")
    host.leave(VPN_GONE)
    filters = world.node.run("nft list ruleset")
    assert 'iifname "br-home" counter name "dropped_input" drop' in filters
    assert '"port10" . 02:76:0a:64:00:0a . 10.100.0.10' in filters


def test_a_bridge_stays_filtered_while_a_pod_is_on_it_though_its_vpn_is_gone(
    world: World, host: Host
) -> None:
    namespaces.cni_plugins()
    host.bring(PLAN)
    pod = world.pod()
    attacher = world.attacher()
    assert isinstance(attacher.bring(service("10.100.0.10"), pod.seen), Done)
    host.bring(VPN_GONE)
    host.bring(VPN_GONE)
    assert 'iifname "br-home" counter name "dropped_input" drop' in world.node.run(
        "nft list table inet piavpn_host"
    )
    pod.run("ip link del vpn0")
    host.bring(NOTHING)
    host.bring(NOTHING)
    assert "br-home" not in world.node.run("ip -o link; nft list ruleset")


def test_what_the_kernel_keeps_of_an_ended_pod_does_not_keep_the_bridge(
    world: World, host: Host, new_namespace: Callable[[str], Namespace]
) -> None:
    """A TCP connection whose peer is silent holds a pod's network for minutes after its end."""
    host.bring(PLAN)
    kept = station(world, new_namespace, "10.100.0.10")
    host.bring(NOTHING)
    host.bring(NOTHING)
    assert "br-home" not in world.node.run("ip -o link; nft list ruleset")
    assert "port10" not in world.node.run("ip -o link; nft list ruleset")
    assert "vpn0" not in kept.run("ip -o link")


OVER_NFTABLES = (
    "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop;"
    " iifname docker0 accept; }; }'"
)
LEGACY = "iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i docker0 -j ACCEPT"
SHOWN = "nft --stateless list ruleset; iptables-legacy -S FORWARD"


@pytest.mark.parametrize(
    ("policy", "undone"),
    [
        ((OVER_NFTABLES,), "nft flush chain ip filter FORWARD"),
        ((LEGACY,), "iptables-legacy -D FORWARD 1"),
        ((OVER_NFTABLES, LEGACY), "iptables-legacy -D FORWARD 1"),
        ((OVER_NFTABLES, LEGACY), "nft flush chain ip filter FORWARD"),
    ],
    ids=["nftables", "legacy", "both, legacy undone", "both, nftables undone"],
)
def test_traffic_within_the_bridge_passes_forward_policies_of_drop(
    world: World,
    host: Host,
    new_namespace: Callable[[str], Namespace],
    policy: tuple[str, ...],
    undone: str,
) -> None:
    if not pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        pytest.skip("this kernel has no br_netfilter")
    world.node.run("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    for command in policy:
        world.node.run(command)
    before = world.node.run(SHOWN)
    planned = dataclasses.replace(PLAN, proxies={})
    host.bring(planned)
    one = station(world, new_namespace, "10.100.0.10")
    station(world, new_namespace, "10.100.0.11")
    host.bring(planned)
    ping = "ping -c 1 -W 1 10.100.0.11"
    assert "1 received" in one.run(ping, check=False)
    # The control: it is our rules that let it pass.
    world.node.run(undone)
    assert "0 received" in one.run(ping, check=False)
    host.bring(planned)
    assert "1 received" in one.run(ping, check=False)
    one.run("ip link del vpn0")
    world.node.run("ip link del port11")
    host.bring(NOTHING)
    host.bring(NOTHING)
    if "flush" not in undone:
        assert world.node.run(SHOWN) == before


def test_a_node_without_legacy_rules_gets_none(world: World, host: Host) -> None:
    host.bring(dataclasses.replace(PLAN, proxies={}))
    assert world.node.run("cat /proc/net/ip_tables_names", check=False) == ""


def test_the_layers_at_work_are_told_at_the_start_and_when_they_change(
    world: World, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def told() -> list[str]:
        return [line for line in caplog.messages if "cluster links" in line]

    host.bring(NOTHING)
    host.bring(NOTHING)
    (first,) = told()
    assert "filter of apps' cluster links is at work" in first
    world.node.run("ip link add cilium_host type bridge")
    host.bring(NOTHING)
    _, second = told()
    assert "filter of apps' cluster links may be idle" in second
