"""Nothing leaks from an app whose pod or whose network is tampered with, by root of the node even.

The app of these tests tries to leak all the time. That it is cut off and replaced is also shown in
test_watch.py, for the damages one by one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from harness import (
    agents,
    capture,
    judge,
    kubectl,
    leaky,
    manifests,
    nodes,
    probes,
    product,
    programs,
    waiting,
)

pytestmark = pytest.mark.owns_nodes

_OFF = "nft delete table inet piavpn_lock"
_HOP = "$(ip route show table 4096 | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')"
_ROUTE_OUT = f"ip route replace default via {_HOP} dev eth0 onlink"
_IPV6 = """
import socket, time
end = time.monotonic() + 20
while time.monotonic() < end:
    try: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"out", ("2606:4700::1", 9))
    except OSError: pass
    time.sleep(0.1)
"""
# Prints the processes of a pod that are in the namespace of the node's first process.
_IMPOSTORS = (
    "for pid in $(grep -l 'pod{uid}' /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3); do"
    " [ $(readlink /proc/$pid/ns/net) != $(readlink /proc/1/ns/net) ] || echo $pid; done"
)


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    with probes.tunnel("tampered", location="swiss", command=leaky.command()) as made:
        yield made


@pytest.fixture
def app(tunnel: probes.Tunnel) -> leaky.Leaky:
    """Return the app, whose traffic flows."""
    kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
    found = leaky.Leaky.in_pod(tunnel.app)
    found.wait_for_answers()
    return found


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(f"{_OFF}; {_ROUTE_OUT}", id="lock deleted and route moved to eth0"),
        pytest.param(_ROUTE_OUT, id="route of living flows moved to eth0"),
        pytest.param("ip route delete default", id="route deleted"),
        pytest.param(f"{_OFF}; ip link delete vpn0", id="lock and tunnel's link deleted"),
    ],
)
def test_nothing_leaks_when_lock_and_routes_are_damaged(
    tunnel: probes.Tunnel, leaks: judge.Judge, damage: str
) -> None:
    before = tunnel.app.uid
    with leaks.nothing_leaves(tunnel.ordinary):
        nodes.run_in_namespace_of(tunnel.app.node, before, "bash", "-ec", damage)
        product.replaced(tunnel.app, before)
        leaky.Leaky.in_pod(tunnel.app).wait_for_answers()


def test_nothing_leaks_from_damage_that_no_agent_sees(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    """The node's own filter needs nobody to watch."""
    damage, before = f"{_OFF}; {_ROUTE_OUT}", tunnel.app.uid
    with leaks.nothing_leaves(tunnel.ordinary):
        with agents.away():
            nodes.run_in_namespace_of(app.node, before, "bash", "-ec", damage)
            app.wait_for_rounds(2)
        # The agent that comes finds no lock where one was.
        product.replaced(tunnel.app, before)
        leaky.Leaky.in_pod(tunnel.app).wait_for_answers()


def test_names_are_asked_for_in_the_tunnel_alone(
    tunnel: probes.Tunnel, leaks: judge.Judge, uplinks: capture.Uplinks
) -> None:
    before = uplinks.mark()
    tunnel.ordinary.resolve("whoami.test")
    assert any("whoami.test" in line for line in uplinks.since(before)), "the control"

    with leaks.nothing_leaves(tunnel.ordinary):
        assert tunnel.app.resolve("whoami.test") == tunnel.server_address
        assert tunnel.app.resolve("nowhere.test").startswith("failed")


def test_a_router_that_advertises_itself_gets_no_ipv6_of_an_app(
    tunnel: probes.Tunnel, app: leaky.Leaky
) -> None:
    with (
        _captured_ipv6(app.node, tunnel.ordinary.address) as from_ordinary,
        _captured_ipv6(app.node, app.address) as from_app,
    ):
        tunnel.ordinary.start_python(_IPV6)
        for captured in (from_ordinary, from_app):
            advertise = programs.text("advertisements")
            _agent(app.node).python(advertise, captured.link)
        waiting.eventually(
            lambda: [line for line in from_ordinary.lines() if "> 2606:4700::1.9: UDP" in line],
            "the router gets an ordinary pod's IPv6",
        )
        app.wait_for_rounds()
        packets = _packets_until_now(app, from_app)
    assert [line for line in packets if "IP6" in line] == []


def test_nothing_leaks_by_raw_sockets(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge, uplinks: capture.Uplinks
) -> None:
    """They walk past every filter in the pod."""

    def send(pod: probes.Pod) -> int:
        nodes.run(app.node, "ping", "-c", "1", pod.address)  # its answer needs a neighbour
        program = programs.text("raw_frames")
        return int(product.python_in_network_of(pod, program, probes.WHO_AM_I))

    before = uplinks.mark()
    assert send(tunnel.ordinary) > 0
    assert any(".40000 > " in line for line in uplinks.since(before))

    with leaks.nothing_leaves(tunnel.ordinary):
        assert send(tunnel.app) > 0


@pytest.mark.usefixtures("app")
def test_an_app_that_was_given_raw_sockets_does_not_start(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    rights = {"capabilities": {"add": ["NET_RAW"], "drop": None}}
    with (
        leaks.nothing_leaves(tunnel.ordinary),
        product.edited(tunnel.app, containers=[{"name": "app", "securityContext": rights}]),
    ):
        waiting.eventually(lambda: _confined_reason(tunnel.app) == "PodNotAllowed", "it is refused")
        assert tunnel.app.container_id == ""


def test_nothing_leaks_when_the_sandbox_is_rebuilt_under_the_pod(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    before = tunnel.app.uid
    with leaks.nothing_leaves(tunnel.ordinary):
        _rebuild_sandbox(tunnel, app)
    assert tunnel.app.uid == before


def test_a_process_of_a_pod_in_the_nodes_namespace_does_not_get_the_node_locked(
    tunnel: probes.Tunnel, app: leaky.Leaky, leaks: judge.Judge
) -> None:
    """The runtime has such processes while it makes a sandbox."""
    with leaks.nothing_leaves(tunnel.ordinary), _impostor(app.node, tunnel.app.uid):
        product.kill(product.agent_on(app.node), "piavpn node-agent")
        app.wait_for_rounds()
        app.wait_for_answers()
        _rebuild_sandbox(tunnel, app)
        assert _is_not_locked(app.node)


def _rebuild_sandbox(tunnel: probes.Tunnel, app: leaky.Leaky) -> None:
    nodes.kill(app.node, tunnel.app.uid, "^/pause")
    waiting.eventually(lambda: tunnel.app.address not in {"", app.address}, "another sandbox")
    kubectl.wait_for("pod", tunnel.app.name, "Ready", tunnel.app.namespace)
    leaky.Leaky.in_pod(tunnel.app).wait_for_answers()


@contextlib.contextmanager
def _captured_ipv6(node: str, address: str) -> Iterator[capture.Capture]:
    """Capture the IPv6 that a pod sends on its link to the node, and its answers to pings."""
    (route,) = json.loads(nodes.run(node, "ip", "-json", "route", "get", address))
    place = capture.Place(node, route["dev"], "'ip6 or icmp'", direction="in")
    with capture.Capture(place).running() as made:
        yield made


def _packets_until_now(app: leaky.Leaky, captured: capture.Capture) -> list[str]:
    """Return what was captured before the app's answer to a ping: all that it had sent."""

    def until_answers(count: int) -> list[str]:
        lines = captured.lines()
        return lines if sum("echo reply" in line for line in lines) >= count else []

    before = sum("echo reply" in line for line in captured.lines())
    nodes.run(app.node, "ping", "-c", "1", app.address)
    return waiting.eventually(lambda: until_answers(before + 1), "the capture sees an answer")


def _agent(node: str) -> probes.Pod:
    pod = product.agent_on(node)
    return probes.Pod(pod["metadata"]["name"], manifests.SYSTEM, "node-agent")


def _confined_reason(pod: probes.Pod) -> str:
    """Return the reason that the node agent gives in the pod's own condition."""
    return str(
        kubectl.condition("pod", pod.name, "piavpn.dev/Confined", pod.namespace).get("reason")
    )


@contextlib.contextmanager
def _impostor(node: str, uid: str) -> Iterator[None]:
    """Have a process in the pod's cgroup that is in the node's own network namespace."""
    script = (
        f"for pod in $(find /sys/fs/cgroup -type d -name '*pod{uid}*' -o -type d"
        f" -name '*pod{uid.replace('-', '_')}*'); do mkdir -p $pod/impostor;"
        " echo $$ >$pod/impostor/cgroup.procs; done; exec sleep 300"
    )
    nodes.start(node, "sh", "-c", script)
    try:
        waiting.eventually(
            lambda: nodes.run(node, "sh", "-c", _IMPOSTORS.format(uid=uid)).split(),
            "the impostor is in the pod's cgroup",
        )
        yield
    finally:
        nodes.kill(node, uid, "^sleep 300")


def _is_not_locked(node: str) -> bool:
    return "inet piavpn_lock" not in nodes.rule_sets(node) and "default via" in nodes.run(
        node, "ip", "route"
    )
