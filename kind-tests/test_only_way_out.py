"""The tunnel is the only way out: for the app, for the gateway, and for the encrypted packets."""

from __future__ import annotations

import json

import pytest

from fakepia import client
from harness import nodes, probes, waiting

pytestmark = pytest.mark.owns_nodes


def test_the_apps_only_default_route_is_the_gateway(steady: probes.Tunnel) -> None:
    network = steady.status()["network"]

    routes = _in_namespace_of(steady.app, "ip", "-json", "route", "show", "default")

    assert [(r["gateway"], r["dev"]) for r in json.loads(routes)] == [
        (network["gatewayAddress"], "vpn0")
    ]
    assert (
        json.loads(_in_namespace_of(steady.app, "ip", "-json", "-6", "route", "show", "default"))
        == []
    )


def test_the_gateway_has_no_default_route(steady: probes.Tunnel) -> None:
    routes = _in_namespace_of(steady.gateway, "ip", "-json", "route", "show", "default")

    assert json.loads(routes) == []


@pytest.mark.parametrize("who", ["app", "gateway"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_nothing_gets_out_by_the_cluster_link(
    steady: probes.Tunnel, pia: client.Client, who: str, protocol: str
) -> None:
    nodes.answer_arp_for_everyone(steady.app.node)
    marker = pia.mark_leaks()

    from_ordinary_pod = getattr(steady.ordinary, protocol)(device="eth0")
    waiting.eventually(lambda: pia.leaks(marker).packets, "the detector sees an ordinary pod")
    marker = pia.mark_leaks()
    from_confined_pod = getattr(getattr(steady, who), protocol)(device="eth0")

    assert not from_ordinary_pod.startswith("failed")
    assert from_confined_pod.startswith("failed"), from_confined_pod
    assert pia.leaks(marker).leaks == ()


def test_the_gateway_reaches_the_internet_by_no_unbound_socket(steady: probes.Tunnel) -> None:
    assert steady.gateway.tcp().startswith("failed")
    assert steady.gateway.udp().startswith("failed")


def test_the_apps_questions_cannot_go_to_the_clusters_resolver(steady: probes.Tunnel) -> None:
    ask = (
        "import socket\n"
        "s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(3)\n"
        "query = bytes.fromhex('000101000001000000000000067768 6f616d690474657374 0000010001')\n"
        "try: s.sendto(query, ('10.96.0.10', 53)); print(len(s.recv(512)))\n"
        "except OSError as e: print('failed:', e)"
    )

    assert not steady.ordinary.python(ask).startswith("failed")
    assert steady.app.python(ask).startswith("failed")


def test_the_encrypted_packets_come_from_the_node_itself(
    steady: probes.Tunnel, pia: client.Client
) -> None:
    session = steady.status()["session"]
    peers = pia.state().servers[session["server"]].peers

    (peer,) = [one for one in peers if one.public_key == session["publicKey"]]

    assert peer.endpoint is not None
    assert peer.endpoint.rsplit(":", 1)[0] == nodes.address_of(steady.gateway.node)


def _in_namespace_of(pod: probes.Pod, *command: str) -> str:
    return nodes.run_in_namespace_of(pod.node, pod.get()["metadata"]["uid"], *command)
