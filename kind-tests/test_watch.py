"""The node agent's watch: an app whose pod is tampered with is cut off at once, and replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes

# Goes on for as long as the app lives: what it sends by the cluster's link must reach nobody.
_SEND_ON = """
import socket, time
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        try: s.sendto(b"out?", ({host!r}, 9))
        except OSError: pass
        time.sleep(0.005)
"""


@pytest.fixture
def tunnel() -> Iterator[probes.Tunnel]:
    with probes.tunnel("watched", location="swiss") as made:
        yield made


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (("nft", "delete", "table", "inet", "piavpn_lock"), "the lock is gone"),
        (("ip", "rule", "del", "pref", "50"), "routes or routing rules were changed"),
        (
            ("sh", "-c", "ip route add default dev eth0 table 77; ip rule add pref 10 lookup 77"),
            "a route to 0.0.0.0/0 was added on eth0 in table 77",
        ),
    ],
    ids=["lock", "rule", "another table"],
)
def test_an_app_that_is_tampered_with_is_cut_off_and_replaced(
    tunnel: probes.Tunnel, pia: client.Client, damage: tuple[str, ...], told: str
) -> None:
    nodes.answer_arp_for_everyone(tunnel.app.node)
    marker = pia.mark_leaks()
    assert not tunnel.ordinary.udp(device="eth0").startswith("failed")
    waiting.eventually(lambda: pia.leaks(marker).packets, "the detector sees an ordinary pod")
    marker = pia.mark_leaks()
    before = tunnel.app.get()["metadata"]["uid"]
    tunnel.app.start_python(_SEND_ON.format(seconds=30, host=probes.WHO_AM_I))

    nodes.run_in_namespace_of(tunnel.app.node, before, *damage)

    waiting.eventually(lambda: _events("Tampered"), "an Event of the tampering", timeout=10)
    assert told in _events("Tampered")[0]["message"]
    waiting.eventually(lambda: _uid(tunnel.app) not in {"", before}, "another pod")
    kubectl.wait_for("vpnapp", "probe", "Ready", tunnel.app.namespace)
    assert tunnel.app.tcp() == tunnel.server_address
    assert pia.leaks(marker).leaks == ()


def test_a_gateway_that_is_damaged_is_repaired_and_stays(tunnel: probes.Tunnel) -> None:
    gateway = tunnel.gateway.get()["metadata"]["uid"]
    app = _uid(tunnel.app)
    damage = ("nft", "delete", "table", "inet", "piavpn_lock")

    nodes.run_in_namespace_of(tunnel.gateway.node, gateway, *damage)

    vpn = (kubectl.get("piavpn", tunnel.vpn) or {})["metadata"]["uid"]
    waiting.eventually(
        lambda: kubectl.items(
            "events", "-n", "default", f"--field-selector=reason=Repaired,involvedObject.uid={vpn}"
        ),
        "an Event of the repair",
    )
    locked = ("nft", "list", "table", "inet", "piavpn_lock")
    assert nodes.run_in_namespace_of(tunnel.gateway.node, gateway, *locked)
    assert (_uid(tunnel.gateway), _uid(tunnel.app)) == (gateway, app)
    assert tunnel.app.tcp() == tunnel.server_address


def _events(reason: str) -> list[kubectl.Object]:
    return kubectl.items("events", "-n", "test-watched", f"--field-selector=reason={reason}")


def _uid(pod: probes.Pod) -> str:
    """Return the pod's UID; empty while there is none."""
    found = kubectl.get("pod", pod.name, pod.namespace) or {}
    return str(found.get("metadata", {}).get("uid", ""))
