"""Where the cluster's own network is a bridge, as with flannel on k3s: the same promises hold."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import namespaces
import pytest
from namespaces import Namespace
from nodeworld import CLUSTER, NETWORK, TestPod, World, service
from test_node_lock_in_kernel import NOTHING, Locked
from test_node_outlet_in_kernel import Attached, ask, echo

from piavpn.net import nft
from piavpn.node import bridge, leakprobe, leaktest
from piavpn.node.attach import Attacher, Done
from piavpn.node.decide import Problem
from piavpn.node.leaktest import Outcome

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Of CNI's specification, in which clusters' configurations are written."""
PLAN = service("10.100.0.10")
SERVICE = "10.96.0.40"
BRIDGE_TRACKING = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


class BridgedWorld(World):
    """A node whose pods are on the bridge `cni0`, made by CNI's own plugins as flannel asks them.

    outside (203.0.113.9) -- wan -- node -- cni0 (10.244.0.1) == veths -- pods' eth0
    """

    def __init__(
        self,
        new_namespace: Callable[[str], Namespace],
        stack: contextlib.ExitStack,
        leases: pathlib.Path,
        version: str = "1.0.0",
    ) -> None:
        super().__init__(new_namespace, stack)
        self._conf = {
            "cniVersion": version,
            "name": "cbr0",
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": True,
            "hairpinMode": True,
            "forceAddress": True,
            "mtu": 1450,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "10.244.0.0/16"}],
                "dataDir": str(leases),
            },
        }

    def join_cluster(self, pod: TestPod) -> None:
        plugin = pathlib.Path(os.environ["CNI_PATH"], "bridge")
        ipam = pathlib.Path(namespaces.tool("host-local")).parent
        self.node.run(
            f"echo '{json.dumps(self._conf)}' | CNI_COMMAND=ADD CNI_CONTAINERID={pod.seen.uid}"
            f" CNI_NETNS=/run/netns/{pod.namespace.name} CNI_IFNAME=eth0 CNI_PATH={ipam}"
            f" CNI_ARGS='IgnoreUnknown=1;IP={pod.cluster_address}' {plugin}"
        )

    def taker_of(self, pod: TestPod) -> str:  # noqa: ARG002 - it is the same for all
        return "cni0"


@pytest.fixture
def bridged(
    new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path
) -> Iterator[BridgedWorld]:
    """A node of that kind; the test's thread is in its namespace, as the agent is."""
    namespaces.cni_plugins()
    with contextlib.ExitStack() as stack:
        made = BridgedWorld(new_namespace, stack, tmp_path)
        with made.node.entered():
            bridge.ensure(NETWORK, None)
            yield made


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_on_a_bridge_is_attached_and_locked_and_nothing_leaks(
    new_namespace: Callable[[str], Namespace], tmp_path: pathlib.Path, version: str
) -> None:
    namespaces.cni_plugins()
    with contextlib.ExitStack() as stack:
        world = BridgedWorld(new_namespace, stack, tmp_path, version)
        pod = world.pod()
        with world.node.entered():
            bridge.ensure(NETWORK, None)
            attacher = world.attacher()
            assert isinstance(attacher.bring(PLAN, pod.seen), Done)
            assert attacher.bring(PLAN, pod.seen) == Done(())
            found = leaktest.judge(leakprobe.run(pod.namespace.fd, CLUSTER))
        assert found == Outcome(tried=20, leaks=(), uncounted=0)
        assert pod.run("ip -4 route").splitlines() == [
            "default via 10.100.0.2 dev vpn0 proto 112 ",
            "10.96.0.0/12 via 10.244.0.1 dev eth0 proto 112 onlink ",
            "10.100.0.0/24 dev vpn0 proto kernel scope link src 10.100.0.10 ",
            "10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.5 ",
            "10.244.0.0/16 via 10.244.0.1 dev eth0 proto 112 onlink ",
        ]


def attach(world: World, *pods: tuple[TestPod, str]) -> Attacher:
    attacher = world.attacher()
    for pod, address in pods:
        assert isinstance(attacher.bring(service(address), pod.seen), Done)
    return attacher


def test_no_packet_of_an_app_gets_onto_the_clusters_bridge(bridged: BridgedWorld) -> None:
    pod = bridged.pod()
    pod.run("sysctl -qw net.ipv4.ping_group_range='0 65535'")
    attach(bridged, (pod, "10.100.0.10"))
    locked = Locked(bridged, pod)
    assert locked.try_everything() == NOTHING
    # The control: the same attempts, before the same detector, without the lock.
    pod.run(
        "nft delete table inet piavpn_lock; ip neigh add 203.0.113.9 lladdr 2:0:0:0:0:1 dev eth0"
    )
    unlocked = locked.try_everything()
    assert unlocked.outside >= 9
    assert unlocked.dns >= 3
    assert unlocked.group >= 2


def test_raw_frames_get_past_the_lock_but_not_past_the_port_of_the_clusters_bridge(
    bridged: BridgedWorld,
) -> None:
    attached = Attached(bridged)
    assert attached.send_raw() == {"outside": 0, "spoofed": 0, "dns": 0, "ipv6": 0}
    # The control: the same packets, before the same detector, where the filter is not.
    bridged.node.run("nft delete table netdev piavpn_outlets; nft delete table inet piavpn_outlets")
    assert attached.send_raw() == {"outside": 3, "spoofed": 3, "dns": 3, "ipv6": 3}


def test_the_leak_test_sees_whether_the_filter_on_the_bridges_port_is_at_work(
    bridged: BridgedWorld,
) -> None:
    attached = Attached(bridged)
    address = IPv4Address(attached.pod.cluster_address)
    assert leakprobe.raw_frames_stopped(attached.pod.namespace.fd, address, 0.5) is True
    nft.load("insert rule netdev piavpn_outlets incoming accept\n")
    assert leakprobe.raw_frames_stopped(attached.pod.namespace.fd, address, 0.5) is False


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_pods_of_the_bridge_the_node_and_the_lan_reach_it_and_it_reaches_pods(
    bridged: BridgedWorld, kind: int
) -> None:
    pod, neighbour = bridged.pod(), bridged.pod()
    attach(bridged, (pod, "10.100.0.10"))
    for server, client in (
        (neighbour, pod.namespace),
        (pod, neighbour.namespace),
        (pod, bridged.node),
        (pod, bridged.outside),
    ):
        with echo(server.namespace, kind, "0.0.0.0"):
            assert ask(client, kind, server.cluster_address) == b"hello"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
@pytest.mark.parametrize("itself", [True, False], ids=["itself", "a neighbour"])
def test_an_app_reaches_itself_and_its_neighbours_by_services(
    bridged: BridgedWorld, kind: int, *, itself: bool
) -> None:
    if not itself and not BRIDGE_TRACKING.exists():
        pytest.skip("this kernel has no br_netfilter, without which no Service works so")
    pod, neighbour = bridged.pod(), bridged.pod()
    attach(bridged, (pod, "10.100.0.10"))
    server = pod if itself else neighbour
    # As kube-proxy does it.
    nft.load(
        f"""
        table ip services {{
          chain prerouting {{
            type nat hook prerouting priority dstnat; policy accept;
            ip daddr {SERVICE} dnat to {server.cluster_address}
          }}
          chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            ip saddr {pod.cluster_address} ip daddr {pod.cluster_address} masquerade
          }}
        }}
        """
    )
    with echo(server.namespace, kind, "0.0.0.0"):
        assert ask(pod.namespace, kind, SERVICE) == b"hello"


def test_apps_stay_apart_on_the_vpns_bridge_beside_the_clusters(bridged: BridgedWorld) -> None:
    pod, other = bridged.pod(), bridged.pod()
    attach(bridged, (pod, "10.100.0.10"), (other, "10.100.0.11"))
    with echo(other.namespace, socket.SOCK_STREAM, "0.0.0.0"):
        with pytest.raises(OSError, match=r"timed out|No route"):
            ask(pod.namespace, socket.SOCK_STREAM, "10.100.0.11")
        # The control: by the cluster's bridge it is reached as any pod.
        assert ask(pod.namespace, socket.SOCK_STREAM, other.cluster_address) == b"hello"


def test_a_pod_that_is_tampered_with_is_cut_off_from_the_clusters_bridge(
    bridged: BridgedWorld,
) -> None:
    pod, neighbour = bridged.pod(), bridged.pod()
    attacher = attach(bridged, (pod, "10.100.0.10"))
    assert "1 received" in neighbour.run(f"ping -c 1 -W 2 {pod.cluster_address}")
    pod.run("nft delete table inet piavpn_lock")
    outcome = attacher.bring(PLAN, pod.seen)
    assert isinstance(outcome, Problem)
    assert outcome.reason == "Tampered"
    assert "0 received" in neighbour.run(f"ping -c 1 -W 1 {pod.cluster_address}", check=False)
