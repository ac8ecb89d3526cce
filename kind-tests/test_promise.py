"""A pod that could undo its own lock is cut off, whoever made it so, and Ready says why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, nodes, probes, product, waiting

CONFINED = "piavpn.dev/Confined"


@pytest.fixture
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel whose app no other test minds losing."""
    with probes.tunnel("promise", location="us_chicago") as made:
        yield made


@pytest.mark.owns_nodes
def test_an_app_that_gets_a_container_with_net_raw_is_cut_off_until_it_is_made_anew(
    tunnel: probes.Tunnel, pia: client.Client
) -> None:
    nodes.answer_arp_for_everyone(tunnel.app.node)
    marker = pia.mark_leaks()
    assert not tunnel.ordinary.udp(device="eth0").startswith("failed")
    waiting.eventually(lambda: pia.leaks(marker).packets, "the detector sees an ordinary pod")
    marker = pia.mark_leaks()

    with product.without_admission():
        waiting.eventually(
            lambda: add_container(tunnel.app, {"name": "debugger"}), "the API server lets it in"
        )

    refusal = kubectl.wait_for_reason(
        "vpnapp", "probe", "Confined", "PodNotAllowed", tunnel.app.namespace
    )
    assert "spec.ephemeralContainers, container debugger" in refusal["message"]
    ready = kubectl.wait_for_reason("vpnapp", "probe", "Ready", "NotConfined", tunnel.app.namespace)
    assert "NET_RAW" in ready["message"]
    assert tunnel.app.tcp().startswith("failed")
    assert tunnel.app.udp(device="eth0").startswith("failed")
    assert pia.leaks(marker).leaks == ()

    kubectl.run("delete", "pod", tunnel.app.name, "-n", tunnel.app.namespace)

    waiting.eventually(
        lambda: (
            kubectl.condition("vpnapp", "probe", "Ready", tunnel.app.namespace)["status"] == "True"
        ),
        "the app is back",
    )
    assert tunnel.app.tcp() == tunnel.server_address


def test_a_debugger_that_may_do_nothing_is_welcome(tunnel: probes.Tunnel) -> None:
    context = {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}
    add_container(tunnel.app, {"name": "debugger", "securityContext": context})
    waiting.eventually(
        lambda: tunnel.app.get()["status"].get("ephemeralContainerStatuses"),
        "the debugger is there",
    )
    assert kubectl.condition("pod", tunnel.app.name, CONFINED, tunnel.app.namespace)["status"] == (
        "True"
    )
    assert tunnel.app.tcp() == tunnel.server_address


def test_a_pod_of_somebody_s_own_with_our_labels_is_told_that_it_may_not(
    steady: probes.Tunnel, request: pytest.FixtureRequest
) -> None:
    rogue = manifests.ordinary_pod("rogue", steady.app.namespace, steady.app.node)
    rogue["metadata"]["labels"] = {"piavpn.dev/vpn": steady.vpn, "piavpn.dev/service": "rogue"}
    rogue["spec"]["hostNetwork"] = True
    request.addfinalizer(lambda: kubectl.delete(rogue))
    with product.without_admission():
        waiting.eventually(
            lambda: kubectl.run("apply", "-f", "-", stdin=json.dumps(rogue)), "it is let in"
        )

    refusal = kubectl.wait_for_reason(
        "pod", "rogue", CONFINED, "PodNotAllowed", steady.app.namespace
    )

    assert "spec.hostNetwork" in refusal["message"]
    assert steady.app.tcp() == steady.server_address  # the node is as it was


def add_container(pod: probes.Pod, container: kubectl.Object) -> str:
    """Do what `kubectl debug` does: it talks to a subresource that `kubectl patch` can, too."""
    image = {"image": os.environ["PIAVPN_IMAGE"], "command": ["sleep", "1000"]}
    patch = json.dumps({"spec": {"ephemeralContainers": [image | container]}})
    return kubectl.run(
        "patch", "pod", pod.name, "-n", pod.namespace,
        "--subresource=ephemeralcontainers", "--type=strategic", "-p", patch,
    )  # fmt: skip
