"""A real Prometheus has every metric, fires the alerts for what they are for, and no other."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import re
from collections.abc import Iterator

import metric_names
import pytest

from fakepia import client, world
from harness import agents, kubectl, manifests, nodes, probes, prometheus, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them, and to load Prometheus' image

ROOM, VPN, REFUSED = "test-watched", "watched", "refused"
APP = probes.Pod("probe-0", ROOM)
DASHBOARD = pathlib.Path(__file__).parents[1] / "manifests/monitoring/dashboard.json"
# Nothing that the watch looks for: a link of somebody else's, and IPv6.
OPEN_A_WAY_OUT = (
    "ip link add net1 type bridge && ip link set net1 up"
    " && echo 0 >/proc/sys/net/ipv6/conf/net1/disable_ipv6 && ip -6 route add 2001:db8::1 dev net1"
)
REFUSALS = {("PiaVpnCredentialsRejected", REFUSED), ("PiaVpnTunnelDown", REFUSED)}


def queries() -> dict[str, str]:
    """Return the dashboard's queries as Grafana sends them."""
    given = {"$vpn": VPN, "$__rate_interval": "1m"}
    return {
        f"{panel['title']} {target['refId']}": re.sub(
            r"\$\w+", lambda found: given[found[0]], target["expr"]
        )
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    }


def status() -> kubectl.Object:
    found: kubectl.Object = (kubectl.get("piavpn", VPN) or {})["status"]
    return found


@pytest.fixture(scope="module")
def watching() -> Iterator[prometheus.Prometheus]:
    """Give a Prometheus that watches a tunnel whose port an app has, and one that PIA refuses."""
    manifests.require_stand_in()
    endpoints = manifests.endpoints() | {"portCheckURL": f"https://{world.FRONT}/port/{{port}}"}
    made = [
        manifests.namespace(ROOM),
        manifests.credentials(VPN),
        manifests.credentials(REFUSED, username="p7654321"),
        manifests.pia_vpn(VPN, secret=VPN, location="nl_amsterdam", endpoints=endpoints),
        manifests.pia_vpn(REFUSED, secret=REFUSED),
        manifests.app("probe", ROOM, VPN, receiveForwardedPort={}),
    ]
    with prometheus.running("test-prometheus") as running:
        try:
            kubectl.apply(*made)
            kubectl.wait_for("piavpn", VPN, "PortForwarded")
            kubectl.wait_for("vpnapp", "probe", "Ready", ROOM)
            running.discover()
            yield running
        finally:
            kubectl.delete(*reversed(made))


def firing(watching: prometheus.Prometheus) -> set[tuple[str, ...]]:
    """Return the alerts that fire, but those of other tests' tunnels."""
    others = {"PiaVpnNodeAgentMissing"}
    return {
        alert
        for alert in watching.firing()
        if {VPN, REFUSED, ROOM, *others} & set(alert) or len(alert) == 1
    }


def fires(watching: prometheus.Prometheus, *alert: str) -> None:
    def found() -> bool:
        seen = firing(watching)
        assert alert in seen, seen
        return True

    waiting.eventually(found, f"{alert} fires", timeout=90)


def is_quiet(watching: prometheus.Prometheus) -> None:
    """Wait until nothing fires but what PIA's refusal of one account is the cause of."""

    def quiet() -> bool:
        seen = firing(watching)
        assert seen == REFUSALS, seen
        return True

    waiting.eventually(quiet, "no other alert fires", timeout=120)


def test_every_part_is_scraped(watching: prometheus.Prometheus) -> None:
    def all_up() -> bool:
        running = "--field-selector=status.phase=Running"
        pods = kubectl.items("pods", "-n", manifests.SYSTEM, running)
        names = {pod["metadata"]["name"] for pod in pods}
        assert watching.targets() == dict.fromkeys(names, "up")
        return True

    waiting.eventually(all_up, "every pod of ours is a target that is up")


def test_every_metric_is_there_by_its_name_and_type(watching: prometheus.Prometheus) -> None:
    def there() -> bool:
        bytes_too = {
            name.replace("_packets_", "_bytes_"): kind
            for name, kind in metric_names.served().items()
        }
        assert watching.types() == metric_names.served() | bytes_too
        return True

    waiting.eventually(there, "all metrics that there are")


def test_refused_credentials_fire_and_a_sound_tunnel_fires_nothing(
    watching: prometheus.Prometheus,
) -> None:
    is_quiet(watching)


def test_a_leak_fires(watching: prometheus.Prometheus) -> None:
    kubectl.wait_for("vpnapp", "probe", "LeakFree", ROOM)
    before = APP.uid
    nodes.run_in_namespace_of(APP.node, before, "sh", "-c", OPEN_A_WAY_OUT)
    fires(watching, "PiaVpnLeak", ROOM, "probe")
    # It stays for a while, though the pod is another one.
    waiting.eventually(lambda: APP.uid not in {"", before}, "another pod")
    kubectl.wait_for("vpnapp", "probe", "Ready", ROOM)
    fires(watching, "PiaVpnLeak", ROOM, "probe")


def test_a_lost_port_fires(watching: prometheus.Prometheus, pia: client.Client) -> None:
    with pia.failing({"portForward": {"*": "unauthorized"}}):
        # The server's loss of our key makes a new session, by which the port is bound anew.
        pia.forget_peers(status()["session"]["server"])
        fires(watching, "PiaVpnPortLost", VPN)
    kubectl.wait_for("piavpn", VPN, "PortForwarded")


def test_a_renewal_that_comes_to_nothing_fires(
    watching: prometheus.Prometheus, pia: client.Client
) -> None:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with pia.failing({"addKey": {"*": "refuse"}}):
        kubectl.run("annotate", "piavpn", VPN, f"piavpn.dev/renew-requested-at={now}")
        fires(watching, "PiaVpnRenewalOverdue", VPN)
    kubectl.run("annotate", "piavpn", VPN, "piavpn.dev/renew-requested-at-")


def test_a_tunnel_that_is_down_fires(watching: prometheus.Prometheus, pia: client.Client) -> None:
    with pia.failing({"server": {"*": "dead"}}):
        fires(watching, "PiaVpnTunnelDown", VPN)
    kubectl.wait_for("piavpn", VPN, "Ready")


@pytest.mark.parametrize("title", queries())
def test_a_panel_of_the_dashboard_has_data(watching: prometheus.Prometheus, title: str) -> None:
    waiting.eventually(lambda: watching.values(queries()[title]), "there are values")


def test_a_missing_agent_fires(watching: prometheus.Prometheus) -> None:
    with agents.away():
        fires(watching, "PiaVpnNodeAgentMissing", APP.node)
