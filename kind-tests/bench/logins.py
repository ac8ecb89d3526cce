"""How many logins PIA sees while the gateways of one account are restarted again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench import results
from fakepia import client
from harness import kubectl, manifests, probes, product, waiting

_NAME = "bench-logins"
_GATEWAYS, _ROUNDS = 5, 5
_RESTARTS_OF_EACH = 2
"""In a round: its process is killed, then its pod deleted. One kill of each pod alone: the kubelet
holds a container back that ends again."""


def measure(pia: client.Client, fallbacks: Sequence[str]) -> results.Measurement:
    """Count the logins of an account of our own, from before its first gateway is made.

    Raises:
        AssertionError: there was none, so the count means nothing, or a gateway did not come back.
    """
    username = f"p{int(time.time()) % 10**7:07}"  # another one each time: no token of it is kept
    pia.accept_credentials(username, manifests.PASSWORD)
    secret = manifests.credentials(_NAME, username=username)
    names = [f"{_NAME}-{number}" for number in range(1, _GATEWAYS + 1)]
    vpns = [
        manifests.pia_vpn(name, secret=_NAME, location="swiss", fallbackLocations=list(fallbacks))
        for name in names
    ]
    try:
        kubectl.apply(secret, *vpns)
        _wait_until_ready(names)
        for _ in range(_ROUNDS):
            _restart(names)
        logins = sum(login.username == username for login in pia.state().logins)
    finally:
        kubectl.delete(*vpns, secret)
        waiting.eventually(lambda: not any(map(_pods, names)), "the gateways are gone")
    assert logins, "the stand-in saw no login at all"
    restarts = _GATEWAYS * _ROUNDS * _RESTARTS_OF_EACH
    return results.Measurement(
        f"logins of {_GATEWAYS} gateways of one account, restarted {restarts} times",
        "logins",
        (float(logins),),
        results.Bar(1),
        rounds=restarts,
        row=f"logins of {_GATEWAYS} gateways of one account that are restarted {restarts} times",
    )


def _restart(vpns: Sequence[str]) -> None:
    """Restart each gateway twice: all processes one by one, then all pods at once."""
    for vpn in vpns:
        product.kill(_gateway(vpn).get(), "piavpn gateway")
    _wait_until_ready(vpns)
    before = {vpn: _gateway(vpn).uid for vpn in vpns}
    pods = [_gateway(vpn).name for vpn in vpns]
    kubectl.run("delete", "pod", *pods, "-n", manifests.SYSTEM, "--wait=false")
    for vpn in vpns:
        product.replaced(_gateway(vpn), before[vpn])
    _wait_until_ready(vpns)


def _wait_until_ready(vpns: Sequence[str]) -> None:
    for vpn in vpns:
        kubectl.wait_for("piavpn", vpn, "Ready")


def _gateway(vpn: str) -> probes.Pod:
    return probes.Pod(f"piavpn-gateway-{vpn}-0", manifests.SYSTEM, "gateway")


def _pods(vpn: str) -> list[kubectl.Object]:
    return kubectl.items("pods", "-n", manifests.SYSTEM, "-l", f"piavpn.dev/gateway={vpn}")
