"""How long an app is cut off when a server dies, and when its gateway's pod is deleted."""

from __future__ import annotations

import time

from bench import answers, results
from fakepia import client
from harness import kubectl, probes, waiting

_DEAD_SERVERS, _DELETIONS = 20, 20


def dead_server(tunnel: probes.Tunnel, pia: client.Client) -> results.Measurement:
    """Measure from the death of a server until the app's traffic flows through another one."""
    with answers.asking(tunnel.app) as asking:
        samples = tuple(_one_dead_server(tunnel, pia, asking) for _ in range(_DEAD_SERVERS))
    return results.Measurement(
        "server dead → traffic through another", "s", samples, results.Bar(15)
    )


def deleted_gateway(tunnel: probes.Tunnel) -> results.Measurement:
    """Measure from the deletion of the gateway's pod until the app's traffic is back.

    Raises:
        AssertionError: the app's pod did not go on as it was.
    """
    before = _identity(tunnel.app)
    with answers.asking(tunnel.app) as asking:
        samples = tuple(_one_deletion(tunnel, asking) for _ in range(_DELETIONS))
    assert _identity(tunnel.app) == before, "the app's pod was touched"
    return results.Measurement(
        "gateway pod deleted → traffic back, app untouched", "s", samples, results.Bar(10)
    )


def _one_dead_server(tunnel: probes.Tunnel, pia: client.Client, asking: answers.Asking) -> float:
    server, address = tunnel.status()["session"]["server"], tunnel.server_address
    _wait_for_answer(asking, time.time())
    since = time.time()
    with pia.failing({"server": {server: "dead"}}):
        waiting.eventually(
            lambda: [one for one in asking.after(since) if one.address != address],
            f"answers by another server than {server}",
        )
        waiting.eventually(
            lambda: tunnel.status()["session"]["server"] != server, "the status names it"
        )
        kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    return answers.until_the_end_of_silence(since, asking.after(since))


def _one_deletion(tunnel: probes.Tunnel, asking: answers.Asking) -> float:
    uid, _ = _identity(tunnel.gateway)
    _wait_for_answer(asking, time.time())
    since = time.time()
    kubectl.run(
        "delete", "pod", tunnel.gateway.name, "-n", tunnel.gateway.namespace, "--wait=false"
    )
    waiting.eventually(lambda: _replaced(tunnel.gateway, uid), "there is a new gateway's pod")
    kubectl.wait_for("pod", tunnel.gateway.name, "Ready", tunnel.gateway.namespace)
    kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    _wait_for_answer(asking, time.time())
    return answers.until_the_end_of_silence(since, asking.after(since))


def _wait_for_answer(asking: answers.Asking, since: float) -> None:
    waiting.eventually(lambda: asking.after(since), "the app gets answers")


def _replaced(pod: probes.Pod, uid: str) -> bool:
    found = kubectl.get("pod", pod.name, pod.namespace)
    return found is not None and found["metadata"]["uid"] != uid


def _identity(pod: probes.Pod) -> tuple[str, int]:
    found = pod.get()
    restarts = sum(one["restartCount"] for one in found["status"].get("containerStatuses", []))
    return str(found["metadata"]["uid"]), restarts
