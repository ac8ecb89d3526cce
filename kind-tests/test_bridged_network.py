"""The cluster's own network as flannel makes it: a bridge on each node. The promises hold there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from harness import judge, kubectl, leaky, manifests, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

ELSEWHERE = "elsewhere"
# The first file in the folder counts. The product's image has the plugin.
_BRIDGE = """
set -e
folder=/etc/cni/net.d
cp "/proc/$(pgrep -o -f 'piavpn node-agent')/root/opt/piavpn/cni/bridge" /opt/cni/bin/
jq '.cniVersion = "1.0.0" | .plugins[0] = {
  type: "bridge", bridge: "cni0", isDefaultGateway: true, hairpinMode: true, forceAddress: true,
  ipam: (.plugins[0].ipam | .routes = [{dst: "10.244.0.0/16"}])
}' "$folder/10-pod-network.conflist" >"$folder/.bridged"
mv "$folder/.bridged" "$folder/05-bridged.conflist"
"""
_UNDO = "rm -f /etc/cni/net.d/05-bridged.conflist /opt/cni/bin/bridge"
_GET = """
import sys, urllib.request
try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except OSError as error: print("failed:", error)
"""


@contextlib.contextmanager
def bridged(node: str) -> Iterator[None]:
    """Have the node's next pods on a bridge."""
    try:
        nodes.run(node, "bash", "-c", _BRIDGE)
        waiting.eventually(lambda: "cni0" in nodes.run(node, "crictl", "info"), "it is known")
        yield
    finally:
        nodes.run(node, "sh", "-c", _UNDO)
        waiting.eventually(lambda: "cni0" not in nodes.run(node, "crictl", "info"), "forgotten")
        waiting.eventually(lambda: not ports(node), "the last pod of the bridge has ended")
        nodes.run(node, "sh", "-c", "ip link delete cni0 || true")


def ports(node: str) -> list[str]:
    """Return the links that are on the node's bridge."""
    found = json.loads(nodes.run(node, "ip", "-json", "link", "show", "type", "veth"))
    return [link["ifname"] for link in found if link.get("master") == "cni0"]


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel whose app, gateway and ordinary pod are on that bridge, and transfer."""
    with contextlib.ExitStack() as stack:
        for node in nodes.names():
            stack.enter_context(bridged(node))
        given = probes.tunnel("bridged", location="swiss", command=leaky.command())
        yield stack.enter_context(given)


def test_nothing_leaks_on_a_bridge_of_the_clusters_own(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    assert len(ports(tunnel.app.node)) >= len((tunnel.app, tunnel.gateway, tunnel.ordinary))
    # For the judges: without it, what is bound to eth0 reaches nobody, lock or not.
    nodes.run(tunnel.app.node, "sysctl", "-qw", "net.ipv4.conf.cni0.proxy_arp=1")
    app = leaky.Leaky.in_pod(tunnel.app)
    with leaks.nothing_leaves(tunnel.ordinary):
        app.wait_for_rounds(2)
        app.wait_for_answers()
    kubectl.wait_for("vpnapp", "probe", "LeakFree", tunnel.app.namespace)
    told = kubectl.condition("vpnapp", "probe", "LeakFree", tunnel.app.namespace)
    assert told["message"].endswith("raw frames are dropped on the node's side")


def test_an_app_there_is_reached_from_pods_of_both_nodes_and_reaches_them(
    tunnel: probes.Tunnel,
) -> None:
    (node,) = (name for name in nodes.names() if name != tunnel.app.node)
    other = manifests.ordinary_pod(ELSEWHERE, tunnel.app.namespace, node)
    kubectl.apply(other)
    kubectl.wait_for("pod", ELSEWHERE, "Ready", tunnel.app.namespace)
    elsewhere = probes.Pod(ELSEWHERE, tunnel.app.namespace)
    app = f"http://{tunnel.app.address}:{leaky.PORT}/"
    for pod in (tunnel.ordinary, elsewhere):
        assert pod.python(_GET, app) == "200"
        assert tunnel.app.python(_GET, f"http://{pod.address}:1/").endswith("refused>")
