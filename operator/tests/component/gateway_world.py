"""A gateway's surroundings as node agent, operator and kubelet make them, in real namespaces.

`node` has the bridge, the bootstrap proxy, the cluster's DNS and API, and a way to the stand-in of
PIA; `pod` is the gateway's own namespace, `app` a service behind it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import pathlib
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import bootstrap_proxy
import dns.exception
import dns.message
import dns.query
import gateway_process
import kube_api
import namespaces
import wireguards
from fakepia_world import FakePia
from namespaces import Namespace

from fakepia import world
from piavpn.api import piavpns
from piavpn.api.gateway_config import GatewayConfig, Server
from piavpn.net import netns, nft
from piavpn.pia import login

HOST, GATEWAY, APP = "10.100.0.1", "10.100.0.2", "10.100.0.10"
CLUSTER, POD_ADDRESS = "10.244.0.1", "10.244.0.5"
API_PORT = 6443
ACCOUNT = ("p1234567", "correct horse")
NETWORK = piavpns.NetworkStatus(
    subnet=ipaddress.IPv4Network("10.100.0.0/24"),
    bridge="br-home",
    host_address=ipaddress.IPv4Address(HOST),
    gateway_address=ipaddress.IPv4Address(GATEWAY),
)
LOCK = f"""
table inet piavpn_lock {{
  counter refused {{ }}
  chain out {{
    type filter hook postrouting priority filter; policy accept;
    oifname "eth0" meta nfproto ipv6 drop
    oifname "eth0" ip daddr {CLUSTER} accept
    oifname "eth0" counter name refused drop
  }}
}}
"""


def server(chosen: world.Server, region: str) -> Server:
    """Return a server of the stand-in as the operator tells it."""
    return Server(region, chosen.cn, chosen.address, world.API_PORT)


ZURICH401 = server(world.ZURICH401, "swiss")
ZURICH402 = server(world.ZURICH402, "swiss")
FRANKFURT401 = server(world.FRANKFURT401, "de-frankfurt")


@dataclasses.dataclass(frozen=True)
class World:
    """The gateway's surroundings; what it is told lies in `folder`."""

    pia: FakePia
    node: Namespace
    pod: Namespace
    app: Namespace
    folder: pathlib.Path
    uplink: str
    """The node's address in the network that leads to the Internet."""

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """Have the node's cable pulled for as long as the block."""
        self.pia.unplug(self.uplink)
        try:
            yield
        finally:
            self.pia.plug_in(self.uplink)

    def tell(self, *servers: Server, **more: Any) -> None:
        """Have the operator write the gateway's configuration, with more of its fields."""
        config = GatewayConfig(
            vpn="home",
            network=NETWORK,
            cluster_domain="cluster.local",
            servers=servers,
            ca_bundle=self.pia.endpoints.ca_bundle,
            status_url=self.pia.endpoints.status_url,
            public_ca_bundle=self.pia.endpoints.public_ca_bundle,
            **more,
        )
        _replace(self.folder / "config" / "config.json", config.to_json())

    def give_token(self) -> None:
        """Have the operator log in and write the token."""
        endpoints = self.pia.endpoints
        with self.node.entered():
            token = login.login(endpoints.token_url, *ACCOUNT, ca_bundle=endpoints.public_ca_bundle)
        _replace(self.folder / "account" / "token", token)

    @contextlib.contextmanager
    def api(self) -> Iterator[kube_api.Api]:
        """Have the cluster's API answer for as long as the block."""
        with kube_api.serving(self.node, CLUSTER, API_PORT) as api:
            yield api

    @contextlib.contextmanager
    def gateway(self) -> Iterator[gateway_process.Process]:
        """Run the gateway as its container would: root with six capabilities, first process."""
        with gateway_process.running(self.pod, self.folder) as process:
            yield process

    def ready(self) -> bool:
        """Ask what the kubelet asks."""
        return self.probe("readyz") == 200

    def probe(self, path: str) -> int | None:
        """Return the HTTP status of a probe; None where nobody answers."""
        try:
            with (
                self.node.entered(),
                urllib.request.urlopen(f"http://{POD_ADDRESS}:8080/{path}", timeout=2) as answer,
            ):
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def wait_until_up(self, seconds: float = 15.0) -> None:
        namespaces.eventually(self.ready, what="the tunnel", seconds=seconds)

    def exit_address(self) -> str | None:
        """Return the address under which the app's HTTP request is seen; None without answer."""
        try:
            with (
                self.app.entered(),
                urllib.request.urlopen(f"http://{world.WHOAMI}/", timeout=2) as answer,
            ):
                return str(answer.read().decode().strip())
        except OSError:
            return None

    def udp_exit_address(self) -> str:
        """Return the address under which the app's datagram is seen."""
        with self.app.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5)
            sender.sendto(b"?", (str(world.WHOAMI), 9))
            return sender.recv(64).decode().strip()

    def resolve(self, name: str, kind: str = "A", *, tcp: bool = False) -> str | None:
        """Ask the gateway's resolver from the app; the answer, else the response code."""
        return self._ask(dns.message.make_query(name, kind), tcp=tcp)

    def resolver_cache_misses(self) -> int:
        """Ask dnsmasq how many questions it had to pass on."""
        asked = self._ask(dns.message.make_query("misses.bind", "TXT", "CH"), tcp=False)
        return int((asked or "").strip('"'))

    def _ask(self, query: dns.message.Message, *, tcp: bool) -> str | None:
        ask = dns.query.tcp if tcp else dns.query.udp
        try:
            with self.app.entered():
                answer = ask(query, GATEWAY, timeout=3)
        except dns.exception.Timeout:
            return None
        records = [record.to_text() for part in answer.answer for record in part]
        return records[0] if records else dns.rcode.to_text(answer.rcode())

    def reached_from_server(self, cn: str, address: str, port: int) -> bool:
        """Tell whether a connection from a server, through the tunnel, is taken."""
        path = self.pia.control.state().servers[cn].namespace
        with open(path, "rb") as namespace, netns.entered(namespace.fileno()):  # noqa: PTH123
            dialler = socket.socket(socket.AF_INET)
        with dialler:
            dialler.settimeout(1)
            return dialler.connect_ex((address, port)) == 0

    def dropped(self, counter: str) -> int:
        """Return what a counter of the gateway's own rules has counted."""
        with self.pod.entered():
            return nft.counters("inet piavpn")[counter].packets

    def refused_by_lock(self) -> int:
        """Return how many of the gateway's packets the lock of its eth0 dropped."""
        with self.pod.entered():
            return nft.counters("inet piavpn_lock")["refused"].packets


@contextlib.contextmanager
def around(
    pia: FakePia, new_namespace: Callable[[str], Namespace], folder: pathlib.Path
) -> Iterator[World]:
    """Make the surroundings; the node agent has done its work, the operator has not."""
    node, pod, app = (new_namespace(role) for role in ("node", "pod", "app"))
    made = World(pia, node, pod, app, folder, uplink=pia.attach(node))
    for name in ("config", "account", "port", "state", "wireguard"):
        folder.joinpath(name).mkdir()
    folder.chmod(0o755)
    folder.joinpath("state").chmod(0o777)
    folder.joinpath("resolv.conf").write_text(f"nameserver {CLUSTER}\nsearch cluster.local\n")
    kube_api.kubeconfig(folder / "kubeconfig", CLUSTER, API_PORT)
    _bridge(made)
    proxy = bootstrap_proxy.running(node, folder, HOST, GATEWAY)
    with proxy, _cluster_dns(made), _wireguard(made, "piaw0"), _wireguard(made, "piaw1"):
        yield made


@contextlib.contextmanager
def logged_in(
    pia: FakePia, new_namespace: Callable[[str], Namespace], folder: pathlib.Path
) -> Iterator[World]:
    """Make the surroundings with a token, and put the stand-in right afterwards."""
    with around(pia, new_namespace, folder) as made:
        made.give_token()
        yield made
    pia.control.set_port_forwarding(binding_seconds=1200, signature_seconds=62 * 86400)
    pia.control.reset()
    pia.control.forget_peers()


def _bridge(made: World) -> None:
    node, pod, app = made.node, made.pod, made.app
    node.run("ip link add br-home type bridge && ip link set br-home up")
    node.run(f"ip address add {HOST}/24 dev br-home")
    namespaces.veth(node, "pod0", pod, "eth0")
    node.run(f"ip address add {CLUSTER}/24 dev pod0")
    pod.run(f"ip address add {POD_ADDRESS}/24 dev eth0")
    with pod.entered():
        nft.load(LOCK)
    # A default route by eth0, which the node agent would take away: nothing may depend on that.
    pod.run(f"ip route add default via {CLUSTER} dev eth0")
    # What does come by eth0 is answered by it.
    pod.run(f"ip rule add pref 50 from {POD_ADDRESS} lookup 4096")
    pod.run(f"ip route add default via {CLUSTER} dev eth0 table 4096")
    pod.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
    pod.run("sysctl -qw net.ipv4.conf.default.rp_filter=0")
    for namespace, port, address in ((pod, "vpn1", GATEWAY), (app, "vpn2", APP)):
        namespaces.veth(node, port, namespace, "vpn0")
        node.run(f"ip link set {port} master br-home")
        namespace.run(f"ip address add {address}/24 dev vpn0")
    app.run(f"ip route add default via {GATEWAY}")


@contextlib.contextmanager
def _cluster_dns(made: World) -> Iterator[None]:
    command = (
        namespaces.tool("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        f"--listen-address={CLUSTER}",
        "--address=/kubernetes.default.svc.cluster.local/10.96.0.1",
        "--address=/#/192.0.2.66",
        "--pid-file",
        "--user=root",
    )
    with made.node.process(*command):
        yield


@contextlib.contextmanager
def _wireguard(made: World, link: str) -> Iterator[None]:
    """Make a link whose encrypted packets leave by the node, and move it into the gateway's pod."""
    make = _in_kernel if wireguards.in_kernel() else _by_program
    with make(made, link):
        made.node.run(f"ip link set {link} netns {made.pod.name}")
        yield


@contextlib.contextmanager
def _in_kernel(made: World, link: str) -> Iterator[None]:
    made.node.run(f"ip link add {link} type wireguard")
    yield


@contextlib.contextmanager
def _by_program(made: World, link: str) -> Iterator[None]:
    directory = made.folder / "wireguard"
    made_before = socket.socket(socket.AF_UNIX)
    # A change of the socket's owner under it would end wireguard-go.
    made_before.bind(str(directory / f"{link}.sock"))
    made_before.listen()
    os.chown(directory / f"{link}.sock", 65534, 65534)
    # It answers once all is set up: a link that is moved away sooner would end it.
    asked = socket.socket(socket.AF_UNIX)
    asked.settimeout(10 * namespaces.PATIENCE)
    asked.connect(made_before.getsockname())
    asked.sendall(b"get=1\n\n")
    mounts = gateway_process.mounts({directory: "/run/wireguard"})
    with made_before, made.node.entered():
        started = subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"),
                *(namespaces.tool("wireguard-go"), "--foreground", link),
            ],
            env={"PATH": os.environ["PATH"], "WG_UAPI_FD": str(made_before.fileno())},
            pass_fds=[made_before.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        with asked:
            asked.recv(1)
        yield
    finally:
        started.kill()
        started.wait()


def _replace(file: pathlib.Path, content: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    fresh.replace(file)
