"""What leaves the cluster, captured on the uplink of every node: the judge of the leak tests.

Each capture is a service of its node that is up before the container runtime is: a node that
starts again has no moment in which its pods run and nobody looks. What pods send leaves the node
with the node's own address, so where a packet goes tells what it is, not where it comes from. Only
three kinds may leave: what stays within the cluster, encrypted packets to PIA's servers, and calls
of PIA's APIs. What joins the bridges of two nodes stays within it from node to node alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import os
from collections.abc import Iterator, Mapping

import yaml

from fakepia import world
from harness import apart, kubectl, nodes, waiting

UPLINK = "eth0"
LAN_PORT = 9
"""Nobody in the tests uses this port of the nodes' own network but who tries to leak into it."""

FENCES = range(40000, 49999)
"""To these ports nodes send packets of their own that tell what came before and after."""

_API_SERVER = "10.96.0.1"
_FOLDER = "/var/local/piavpn-capture"

_OPTIONS = "-Z root -l -n -tttt --immediate-mode -B 65536"
_UNIT = """\
[Unit]
Description=Capture packets
DefaultDependencies=no
Before=containerd.service kubelet.service
[Service]
ExecStartPre=/bin/sh -c ': > {errors}; {prepare}'
ExecStart=/usr/bin/tcpdump {options} -Q {direction} -i {link} {filter}
ExecStartPost=/bin/sh -c 'until grep -q listening {errors}; do sleep 0.05; done'
StandardOutput=append:{packets}
StandardError=append:{errors}
[Install]
WantedBy=multi-user.target
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A link of a node, and which of its packets to capture."""

    node: str
    link: str
    filter: str
    """As tcpdump has it."""
    direction: str = "out"
    prepare: str = ":"
    """Shell commands to run before, also when the node starts again."""
    purpose: str = "judge"
    """One word: two captures may be on one link for different ones."""

    @property
    def name(self) -> str:
        """Name of the service."""
        return f"capture-{self.link}-{self.purpose}"


class Capture:
    """Runs at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._beside = nodes.lan_host(place.node)
        self._packets = f"{_FOLDER}/{place.name}.packets"
        self._errors = f"{_FOLDER}/{place.name}.errors"

    @property
    def link(self) -> str:
        """The link that it captures on."""
        return self._place.link

    @contextlib.contextmanager
    def running(self) -> Iterator[Capture]:
        """Capture for the time of a block, and go on in it when the node starts again."""
        self._start()
        try:
            yield self
        finally:
            self._stop()

    def _start(self) -> None:
        place = self._place
        unit = _UNIT.format(
            options=_OPTIONS, link=place.link, direction=place.direction, filter=place.filter,
            prepare=place.prepare, packets=self._packets, errors=self._errors,
        )  # fmt: skip
        script = f'mkdir -p {_FOLDER}; : >{self._packets}; printf %s "$1" >{self._unit}'
        nodes.run(place.node, "sh", "-c", script, "sh", unit)
        nodes.run(place.node, "systemctl", "daemon-reload")
        nodes.run(place.node, "systemctl", "enable", "--now", "--quiet", place.name)

    def _stop(self) -> None:
        """End.

        Raises:
            AssertionError: packets were lost before they were looked at.
        """
        place = self._place
        nodes.run(place.node, "systemctl", "disable", "--now", "--quiet", place.name)
        said = nodes.run(place.node, "cat", self._errors)
        nodes.run(place.node, "rm", self._errors, self._packets, self._unit)
        nodes.run(place.node, "rmdir", "--ignore-fail-on-non-empty", _FOLDER)
        nodes.run(place.node, "systemctl", "daemon-reload")
        assert "\n0 packets dropped by kernel" in said, said

    def lines(self) -> list[str]:
        """Return all packets so far, a line each."""
        return nodes.run(self._place.node, "cat", self._packets).splitlines()

    def until_fence(self, port: int) -> list[str]:
        """Send a packet of the node's own and return all that came before it: all that was sent.

        That it is seen shows that the capture runs, and that the answer is whole: it is of the
        very reading in which that packet was found.
        """
        node, mark = self._place.node, f" > {self._beside}.{port}:"
        nodes.run(node, "bash", "-c", f"echo >/dev/udp/{self._beside}/{port}")

        def before() -> list[str]:
            lines = self.lines()
            found = next((number for number, line in enumerate(lines, 1) if mark in line), None)
            assert found is not None, f"{mark!r} is not among {len(lines)} packets"
            return lines[:found]

        return waiting.eventually(before, f"the capture on {node} sees the node's own packet")

    @property
    def _unit(self) -> str:
        return f"/etc/systemd/system/{self._place.name}.service"


class Captures:
    """Captures at the same time, one on each node."""

    def __init__(self, captures: Mapping[str, Capture]) -> None:
        self._captures = captures
        self._ports = iter(FENCES)

    def mark(self) -> dict[str, int]:
        """Return this moment, for `since`."""
        return {node: len(lines) for node, lines in self._until_now().items()}

    def since(self, marker: Mapping[str, int]) -> dict[str, list[str]]:
        """Return the packets since that moment by node, the nodes' own of `mark` among them."""
        return {node: lines[marker[node] :] for node, lines in self._until_now().items()}

    def _until_now(self) -> dict[str, list[str]]:
        port = next(self._ports)
        return {node: capture.until_fence(port) for node, capture in self._captures.items()}


class Uplinks:
    """The captures on all nodes' uplinks."""

    def __init__(self, captures: Mapping[str, Capture]) -> None:
        self._captures = Captures(captures)

    def mark(self) -> dict[str, int]:
        """Return this moment, for `since`."""
        return self._captures.mark()

    def since(self, marker: Mapping[str, int]) -> list[str]:
        """Return the packets that left since that moment and must not have, with their nodes."""
        return [
            f"{node}: {line}"
            for node, lines in self._captures.since(marker).items()
            for line in lines
            if _is_outside(line)
        ]


@contextlib.contextmanager
def uplinks() -> Iterator[Uplinks]:
    """Capture on the uplinks of all nodes for the time of a block."""
    pods = _network_of_pods()
    captures = {name: Capture(_uplink(name, pods)) for name in nodes.names()}
    with contextlib.ExitStack() as stack:
        for node, capture in captures.items():
            stack.callback(nodes.run, node, "sh", "-c", nodes.answer_arp_from_now_on("0"))
            stack.enter_context(capture.running())
        yield Uplinks(captures)


def _uplink(node: str, pods: ipaddress.IPv4Network) -> Place:
    inside = [_network_of_nodes(node), pods]
    servers = [server.address for server in world.SERVERS]
    to_servers = _any(f"dst host {address}" for address in servers)
    may_leave = _any(
        (
            _any(f"dst net {network}" for network in inside),
            f"dst host {world.FRONT} and tcp dst port {world.FRONT_PORT}",
            f"{to_servers} and tcp dst port {world.API_PORT}",
            f"{to_servers} and udp dst port {world.WIREGUARD_PORT}",
            # The node refuses what a server still sends to a tunnel that has ended.
            f"{to_servers} and icmp[icmptype] == icmp-unreach",
            "igmp",
            # A node that starts calls the API server, by its Service, before that leads there.
            f"dst host {_API_SERVER} and tcp dst port 443",
        )
    )
    own = _any(f"src host {address}" for address in _own_ipv6(node))
    everyone = [nodes.address_of(name) for name in nodes.names()]
    between_nodes = (
        f"src host {nodes.address_of(node)} and "
        f"{_any(f'dst host {address}' for address in everyone)}"
    )
    joins = _any(f"udp dst port {port}" for port in apart.PORTS)
    looked_for = (
        f"ip and not {may_leave}",
        f"ip6 and not {own}",
        f"ip and {joins} and not ({between_nodes})",
        # A question to the cluster's resolver may be one for the Internet.
        "ip and (dst port 53 or dst port 853)",
        f"ip and dst net {inside[0]} and dst port {LAN_PORT}",
        f"ip and dst net {inside[0]} and udp dst portrange {FENCES.start}-{FENCES.stop}",
    )
    return Place(node, UPLINK, f"'{_any(looked_for)}'", prepare=_roads_out())


def _roads_out() -> str:
    """Return the commands that let leaks of a node that has just started reach the stand-in."""
    stand_in = nodes.address_of(f"{os.environ['PIAVPN_CLUSTER']}-fakepia")
    networks = (world.INTERNET, *world.DOCUMENTATION)
    roads = (f"ip route replace {network} via {stand_in}" for network in networks)
    return "; ".join((nodes.answer_arp_from_now_on(), *roads))


def _any(expressions: Iterator[str] | tuple[str, ...]) -> str:
    return "(" + " or ".join(f"({one})" for one in expressions) + ")"


def _is_outside(line: str) -> bool:
    """Tell whether a captured packet is none of ours, nor a question for a name of the cluster."""
    port = line.partition(" > ")[2].partition(":")[0].rpartition(".")[2]
    return not (port.isdecimal() and int(port) in FENCES) and "cluster.local." not in line


def _network_of_pods() -> ipaddress.IPv4Network:
    """Return the whole of it: a node that is made anew gets another part."""
    config = kubectl.get("configmap", "kubeadm-config", "kube-system") or {}
    cluster = yaml.safe_load(config["data"]["ClusterConfiguration"])
    return ipaddress.IPv4Network(cluster["networking"]["podSubnet"])


def _network_of_nodes(node: str) -> ipaddress.IPv4Network:
    found = json.loads(nodes.run(node, "ip", "-json", "-4", "address", "show", UPLINK))
    (address,) = found[0]["addr_info"]
    return ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network


def _own_ipv6(node: str) -> list[str]:
    found = json.loads(nodes.run(node, "ip", "-json", "-6", "address", "show", UPLINK))
    # The unspecified address: before a node has its own, it asks whether another has it.
    return ["::", *(item["local"] for link in found for item in link.get("addr_info", []))]
