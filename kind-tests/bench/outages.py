"""How long an app is cut off when a server dies, and when its gateway is lost or moves."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from bench import answers, results
from fakepia import client
from harness import kubectl, probes, product, waiting

_DEAD_SERVERS, _LOSSES, _MOVES = 20, 20, 6


def dead_server(tunnel: probes.Tunnel, pia: client.Client) -> results.Measurement:
    """Measure from the death of a server until the app's traffic flows through another one."""
    with answers.asking(tunnel.app) as asking:
        samples = tuple(_one_dead_server(tunnel, pia, asking) for _ in range(_DEAD_SERVERS))
    return results.Measurement(
        "server dead → traffic through another",
        "s",
        samples,
        results.Bar(15),
        row="server dead → traffic goes through another",
    )


def lost_gateway(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Measure how long the app gets no answers when its gateway's process or pod is lost.

    The process is killed once in each pod's life: the kubelet holds a container back that ends
    again. The tunnel's links outlive it, so that a kill may not be felt at all.

    Raises:
        AssertionError: the app's pod did not go on as it was.
    """
    with _untouched(tunnel.app), _App.asking_in(tunnel.app) as app:
        losses = [(_one_kill(tunnel, app), _one_deletion(tunnel, app)) for _ in range(_LOSSES)]
    killed, deleted = zip(*losses, strict=True)
    return [
        *_silences("gateway's process killed → longest silence of the app, untouched", killed),
        *_silences("gateway's pod deleted → traffic is back, app untouched", deleted),
    ]


def moved_gateway(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Measure from the deletion of the gateway's pod until the one on another node has traffic.

    Raises:
        AssertionError: the app's pod did not go on as it was, or the gateway stayed.
    """
    with _untouched(tunnel.app), _App.asking_in(tunnel.app) as app:
        moved = [_one_move(tunnel, app) for _ in range(_MOVES)]
    return _silences("gateway moves to another node → traffic is back, app untouched", moved, 15)


@dataclasses.dataclass(frozen=True, slots=True)
class _App:
    """An app that asks the Internet and its resolver all the time."""

    internet: answers.Asking
    resolver: answers.Asking

    @classmethod
    @contextlib.contextmanager
    def asking_in(cls, pod: probes.Pod) -> Iterator[_App]:
        """Have a pod ask for the time of a block."""
        with answers.asking(pod) as internet, answers.resolving(pod) as resolver:
            yield cls(internet, resolver)

    def wait_for_answers(self) -> None:
        """Wait until both answer from now on."""
        now = time.time()
        _wait_for_answer(self.internet, now)
        _wait_for_answer(self.resolver, now)

    def each(
        self, since: float, seconds: Callable[[float, Sequence[answers.Answer]], float]
    ) -> _Silence:
        """Return the seconds for both."""
        return _Silence(
            *(seconds(since, one.after(since)) for one in (self.internet, self.resolver))
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Silence:
    """Seconds for which neither packets came back nor names were resolved."""

    internet: float
    resolver: float


def _silences(
    what: str, silences: Sequence[_Silence], limit: float = 10
) -> list[results.Measurement]:
    bar, row = results.Bar(limit), f"{what}: Internet / resolver"
    return [
        results.Measurement(what, "s", tuple(one.internet for one in silences), bar, row=row),
        results.Measurement(
            f"{what}, resolver", "s", tuple(one.resolver for one in silences), bar, row=row
        ),
    ]


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


def _one_kill(tunnel: probes.Tunnel, app: _App) -> _Silence:
    app.wait_for_answers()
    gateway, since = tunnel.gateway.get(), time.time()
    product.kill(gateway, "piavpn gateway")
    kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    app.wait_for_answers()
    return app.each(since, answers.longest_silence)


def _one_move(tunnel: probes.Tunnel, app: _App) -> _Silence:
    node = tunnel.gateway.node
    with kubectl.cordoned(node):
        silence = _one_deletion(tunnel, app)
    assert tunnel.gateway.node != node, f"the gateway is on {node} again"
    return silence


def _one_deletion(tunnel: probes.Tunnel, app: _App) -> _Silence:
    uid, _ = _identity(tunnel.gateway)
    app.wait_for_answers()
    since = time.time()
    kubectl.run(
        "delete", "pod", tunnel.gateway.name, "-n", tunnel.gateway.namespace, "--wait=false"
    )
    waiting.eventually(lambda: _replaced(tunnel.gateway, uid), "there is a new gateway's pod")
    kubectl.wait_for("pod", tunnel.gateway.name, "Ready", tunnel.gateway.namespace)
    kubectl.wait_for("piavpn", tunnel.vpn, "Ready")
    app.wait_for_answers()
    return app.each(since, answers.until_the_end_of_silence)


@contextlib.contextmanager
def _untouched(app: probes.Pod) -> Iterator[None]:
    before = _identity(app)
    yield
    assert _identity(app) == before, "the app's pod was touched"


def _wait_for_answer(asking: answers.Asking, since: float) -> None:
    def answered() -> bool:
        assert asking.after(since), f"none; {asking.failure}"
        return True

    waiting.eventually(answered, "the app gets answers")


def _replaced(pod: probes.Pod, uid: str) -> bool:
    found = kubectl.get("pod", pod.name, pod.namespace)
    return found is not None and found["metadata"]["uid"] != uid


def _identity(pod: probes.Pod) -> tuple[str, int]:
    found = pod.get()
    restarts = sum(one["restartCount"] for one in found["status"].get("containerStatuses", []))
    return str(found["metadata"]["uid"]), restarts
