"""An app that tries to get out from its first instruction on gets nothing out but by its tunnel."""

from __future__ import annotations

import os
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
    waiting,
)

pytestmark = pytest.mark.owns_nodes

_STARTS = 3


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    with probes.tunnel("start", location="swiss", command=leaky.command()) as made:
        yield made


def test_the_judges_see_what_the_same_program_sends_in_an_ordinary_pod(
    tunnel: probes.Tunnel, uplinks: capture.Uplinks
) -> None:
    """The control of all tests that this program is used in."""
    nodes.answer_arp_for_everyone(tunnel.app.node)
    pod = manifests.ordinary_pod("unconfined", tunnel.app.namespace, tunnel.app.node)
    pod["spec"]["containers"][0]["command"] = leaky.command()
    before = uplinks.mark()
    kubectl.apply(pod)
    kubectl.wait_for("pod", "unconfined", "Ready", tunnel.app.namespace)
    leaky.Leaky.in_pod(probes.Pod("unconfined", tunnel.app.namespace)).wait_for_rounds()
    kubectl.delete(pod)
    # Its object goes before its processes do.
    waiting.eventually(lambda: not uplinks.since(uplinks.mark()), "it sends no more")

    seen = "\n".join(uplinks.since(before))

    outside, lan = probes.WHO_AM_I, nodes.lan_host(tunnel.app.node)
    for sent in (
        f"{outside}.9: UDP", f"{outside}.53: ", f"{outside}.80: Flags [S]", f"{lan}.9: UDP",
        f"{outside}: ICMP echo request", "A? whoami.test",
    ):  # fmt: skip
        assert sent in seen, f"no {sent} in what was captured"


def test_nothing_leaves_before_the_app_is_confined(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    with leaks.nothing_leaves(tunnel.ordinary):
        for _ in range(_STARTS):
            product.delete(tunnel.app)
            app = leaky.Leaky.in_pod(tunnel.app)
            app.wait_for_rounds()
            app.wait_for_answers()


def test_nothing_leaves_by_an_init_container_of_the_apps_own(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    early = {
        "name": "early",
        "image": os.environ["PIAVPN_IMAGE"],
        "command": leaky.one_round(),
    }

    with (
        leaks.nothing_leaves(tunnel.ordinary),
        product.given_template(tunnel.app, initContainers=[early]),
    ):
        log = kubectl.run("logs", tunnel.app.name, "-n", tunnel.app.namespace, "-c", "early")

    assert "UDP bound to the device: [Errno 1] Operation not permitted" in log


def test_nothing_leaves_while_an_app_waits_for_a_missing_agent(
    tunnel: probes.Tunnel, leaks: judge.Judge
) -> None:
    with leaks.nothing_leaves(tunnel.ordinary):
        with agents.away():
            before = tunnel.app.uid
            kubectl.run("delete", "pod", tunnel.app.name, "-n", tunnel.app.namespace)
            waiting.eventually(
                lambda: tunnel.app.uid not in {"", before} and "vpn0" in _gate_log(tunnel.app),
                "the gate holds the new pod's app back",
            )
            (app,) = tunnel.app.get()["status"]["containerStatuses"]
            assert "waiting" in app["state"]
        kubectl.wait_for("pod", tunnel.app.name, "Ready", tunnel.app.namespace)
        leaky.Leaky.in_pod(tunnel.app).wait_for_answers()


def _gate_log(pod: probes.Pod) -> str:
    try:
        return kubectl.run("logs", pod.name, "-n", pod.namespace, "-c", "piavpn-gate")
    except kubectl.KubectlError:  # not started yet
        return ""
