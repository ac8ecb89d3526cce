"""What a confined app reaches beside its tunnel, and what other pods reach through it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness import answers, kubectl, lan, manifests, probes, waiting

ROOM, OTHER_ROOM = "test-reaching", "test-stranger"
LAN_PORT = 7702
_REACH = """
import socket, sys
with socket.socket() as s:
    s.settimeout(5)
    try: s.connect((sys.argv[1], int(sys.argv[2]))); print("reached")
    except OSError as error: print("failed:", error)
"""
_BY_PROXY = """
import http.client, sys
proxy, port, host, to = sys.argv[1:]
try:
    c = http.client.HTTPConnection(proxy, int(port), timeout=10)
    c.set_tunnel(host, int(to))
    c.request("GET", "/")
    print(c.getresponse().read().decode().strip())
except OSError as error: print("failed:", error)
"""
PROXY = f"piavpn-proxy-reaching.{manifests.SYSTEM}"


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel that no other test minds being changed, with a proxy."""
    with probes.tunnel("reaching", location="swiss", httpProxy={}) as made:
        yield made


def patch(kind: str, name: str, spec: kubectl.Object, namespace: str | None = None) -> None:
    room = ("-n", namespace) if namespace else ()
    kubectl.run("patch", kind, name, *room, "--type=merge", "-p", json.dumps({"spec": spec}))


def reach(pod: probes.Pod, host: str, port: int) -> str:
    return pod.python(_REACH, host, str(port))


def wait_until_reached(pod: probes.Pod, name: str) -> None:
    """Wait until an app that has just been started listens."""
    waiting.eventually(lambda: reach(pod, name, answers.HTTP) == "reached", name)


def by_proxy(pod: probes.Pod, host: str, port: int = 80) -> str:
    """Ask through the VPN's proxy, by CONNECT; a refusal comes back as `failed: ...`."""
    return pod.python(_BY_PROXY, PROXY, "8888", host, str(port))


# The cluster


def test_an_app_reaches_other_apps_and_pods_by_name_and_by_address(
    tunnel: probes.Tunnel, request: pytest.FixtureRequest
) -> None:
    other = manifests.app(
        "other", ROOM, tunnel.vpn,
        command=list(answers.COMMAND), ports=[{"name": "http", "port": answers.HTTP}],
    )  # fmt: skip
    request.addfinalizer(lambda: kubectl.delete(other))
    kubectl.apply(other)
    kubectl.wait_for("vpnapp", "other", "Ready", ROOM)
    for name in ("other", f"other.{ROOM}", f"other.{ROOM}.svc", f"other.{ROOM}.svc.cluster.local"):
        wait_until_reached(tunnel.app, name)
    assert reach(tunnel.app, "kubernetes.default.svc", 443) == "reached"
    assert reach(tunnel.app, tunnel.ordinary.address, 1).endswith("refused")  # by the pod itself
    assert reach(tunnel.app, "nobody.test-reaching.svc", 80).startswith("failed")


# The LAN


@pytest.mark.owns_nodes
def test_an_app_reaches_what_it_may_bypass_to_until_it_may_not(tunnel: probes.Tunnel) -> None:
    with lan.serving(LAN_PORT):
        machine = lan.address()
        assert reach(tunnel.ordinary, machine, LAN_PORT) == "reached"  # the control
        assert reach(tunnel.app, machine, LAN_PORT).startswith("failed")
        for kind, name, room in (("vpnapp", "probe", ROOM), ("piavpn", tunnel.vpn, None)):
            before = tunnel.app.uid
            patch(kind, name, {"bypassCIDRs": [f"{machine}/32"]}, room)
            waiting.eventually(
                lambda: reach(tunnel.app, machine, LAN_PORT) == "reached", f"LAN out by {kind}"
            )
            with lan.serving(53):
                assert reach(tunnel.ordinary, machine, 53) == "reached"  # the control
                assert reach(tunnel.app, machine, 53).startswith("failed")
            assert tunnel.app.tcp() == tunnel.server_address
            assert tunnel.app.tcp(device="eth0").startswith("failed")
            assert kubectl.condition("vpnapp", "probe", "LeakFree", ROOM)["status"] == "True"
            patch(kind, name, {"bypassCIDRs": []}, room)
            waiting.eventually(
                lambda: reach(tunnel.app, machine, LAN_PORT).startswith("failed"), "no LAN out"
            )
            assert tunnel.app.uid == before


def test_a_bypass_to_the_vpn_s_own_network_is_refused(tunnel: probes.Tunnel) -> None:
    subnet = tunnel.status()["network"]["subnet"]
    patch("vpnapp", "probe", {"bypassCIDRs": [subnet]}, ROOM)
    told = kubectl.wait_for_reason("vpnapp", "probe", "Accepted", "BypassOverlaps", ROOM)
    assert subnet in told["message"]
    patch("vpnapp", "probe", {"bypassCIDRs": []}, ROOM)
    kubectl.wait_for("vpnapp", "probe", "Ready", ROOM)


# Names


@pytest.mark.owns_nodes
def test_upstreams_of_ones_own_answer_from_the_change_on(tunnel: probes.Tunnel) -> None:
    fresh = (f"{number}.ads.test" for number in range(1000))
    assert tunnel.app.resolve(next(fresh)).startswith("failed")
    patch("piavpn", tunnel.vpn, {"dns": {"upstreams": ["10.0.0.241"]}})
    waiting.eventually(lambda: tunnel.app.resolve(next(fresh)) == "0.0.0.0", "the filter answers")
    patch("piavpn", tunnel.vpn, {"dns": {"upstreams": []}})
    waiting.eventually(
        lambda: tunnel.app.resolve(next(fresh)).startswith("failed"), "PIA's own answer again"
    )


# The proxy


def test_a_pod_that_is_not_confined_asks_the_internet_through_the_proxy(
    tunnel: probes.Tunnel,
) -> None:
    waiting.eventually(
        lambda: by_proxy(tunnel.ordinary, probes.WHO_AM_I) == tunnel.server_address, "by the proxy"
    )
    assert by_proxy(tunnel.ordinary, "www.example.test") == tunnel.server_address
    assert tunnel.ordinary.tcp() != tunnel.server_address  # the control


def test_the_proxy_leads_nowhere_into_the_cluster(tunnel: probes.Tunnel) -> None:
    gateway = tunnel.gateway.address
    for host, port in (
        ("kubernetes.default.svc.cluster.local", 443),
        ("10.96.0.1", 443),
        (gateway, 8080),
        ("127.0.0.1", 8080),
        (tunnel.status()["network"]["hostAddress"], 8888),
    ):
        assert by_proxy(tunnel.ordinary, host, port).startswith("failed"), (host, port)
    assert reach(tunnel.ordinary, "10.96.0.1", 443) == "reached"  # the controls
    assert reach(tunnel.ordinary, gateway, 8080) == "reached"


# Who may use the tunnel


def test_apps_of_other_namespaces_are_refused_until_theirs_is_labelled(
    tunnel: probes.Tunnel, request: pytest.FixtureRequest
) -> None:
    room = manifests.namespace(OTHER_ROOM)
    app = manifests.app("stranger", OTHER_ROOM, tunnel.vpn)
    request.addfinalizer(lambda: kubectl.delete(app, room))
    request.addfinalizer(lambda: patch("piavpn", tunnel.vpn, {"allowedNamespaces": None}))
    kubectl.run("label", "namespace", ROOM, "team=home")
    patch("piavpn", tunnel.vpn, {"allowedNamespaces": {"matchLabels": {"team": "home"}}})
    kubectl.apply(room, app)
    told = kubectl.wait_for_reason(
        "vpnapp", "stranger", "Accepted", "NamespaceNotAllowed", OTHER_ROOM
    )
    assert OTHER_ROOM in told["message"]
    kubectl.run("label", "namespace", OTHER_ROOM, "team=home")
    kubectl.wait_for("vpnapp", "stranger", "Ready", OTHER_ROOM)
    stranger = probes.Pod("stranger-0", OTHER_ROOM)
    assert stranger.tcp() == tunnel.app.tcp() == tunnel.server_address
    kubectl.run("label", "namespace", OTHER_ROOM, "team-")
    waiting.eventually(lambda: not stranger.uid, "the stranger's pod is ended")
    assert tunnel.app.tcp() == tunnel.server_address
