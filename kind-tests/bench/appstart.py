"""What confinement costs an app at its start, against the same pod without it.

A round starts an app of each kind: confined, and its very StatefulSet with a no-op init container
in place of the gate, and with none. The time is from the pod's creation to what the app prints
first, all by one clock: nodes are containers of this machine.

A kubelet looks once a second for containers that ended, so the end of an init container costs up to
a second more, depending on when in that second the pod was made. The rounds go through that second
evenly; medians are compared, since two starts of a round meet it at different places.
"""

from __future__ import annotations

import copy
import enum
import itertools
import statistics
import time
from collections.abc import Sequence

from bench import podwatch, results
from harness import kubectl, manifests, probes, waiting

_ROUNDS = 12
_KUBELETS_PERIOD_SECONDS = 1.0
_SAY_WHEN = "date +%s.%N; trap 'exit 0' TERM; sleep 86400 & wait"


class Kind(enum.StrEnum):
    """What is started."""

    CONFINED = "confined"
    NO_OP = "no-op"
    PLAIN = "plain"


_ORDERS = tuple(itertools.permutations(Kind))


def measure(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Measure all kinds, and what the confined one takes longer than each of the others."""
    with podwatch.watching(tunnel.app.namespace) as watch:
        confined_pod = _template(tunnel, watch)
        rounds = [_round(tunnel, watch, confined_pod, number) for number in range(_ROUNDS)]
    taken = {kind: tuple(each[kind] for each in rounds) for kind in Kind}
    confined, no_op, plain = taken[Kind.CONFINED], taken[Kind.NO_OP], taken[Kind.PLAIN]
    return [
        results.Measurement("app start, confined", "s", confined),
        results.Measurement("app start, no-op init container", "s", no_op),
        results.Measurement("app start, no init container", "s", plain),
        _difference("confined over no-op init container", confined, no_op, 0.2),
        _difference("confined over no init container", confined, plain, 1.3),
    ]


def _difference(
    what: str, ours: Sequence[float], others: Sequence[float], limit: float
) -> results.Measurement:
    difference = statistics.median(ours) - statistics.median(others)
    bar = results.Bar(limit, results.Statistic.MEDIAN)
    return results.Measurement(f"app start, {what}", "s", (difference,), bar, rounds=len(ours))


def _template(tunnel: probes.Tunnel, watch: podwatch.PodWatch) -> kubectl.Object:
    """Return the StatefulSet that the operator makes of such an app. Warms up what is cold, too."""
    app = _confined(tunnel, "template")
    _start(watch, app)
    found = kubectl.get("statefulset", "template", tunnel.app.namespace)
    assert found is not None, "the operator made no StatefulSet"
    _remove(watch, app)
    return found


def _round(
    tunnel: probes.Tunnel, watch: podwatch.PodWatch, confined_pod: kubectl.Object, number: int
) -> dict[Kind, float]:
    """Start each kind once, in an order that differs from round to round."""
    names = {kind: f"{kind}-{number}" for kind in Kind}
    made = {
        Kind.CONFINED: _confined(tunnel, names[Kind.CONFINED]),
        Kind.NO_OP: _unconfined(confined_pod, names[Kind.NO_OP], with_init_container=True),
        Kind.PLAIN: _unconfined(confined_pod, names[Kind.PLAIN], with_init_container=False),
    }
    taken = {}
    for kind in _ORDERS[number % len(_ORDERS)]:
        # The former pod's removal ended at the kubelet's beat: this one is made between two.
        time.sleep(number / _ROUNDS * _KUBELETS_PERIOD_SECONDS)
        taken[kind] = _start(watch, made[kind])
        _remove(watch, made[kind])
    return taken


def _start(watch: podwatch.PodWatch, app: kubectl.Object) -> float:
    """Make an app and return the seconds from its pod's creation to its first word."""
    pod = _pod_of(app)
    kubectl.apply(app)
    created = watch.created(pod).time
    watch.started(pod)
    namespace = app["metadata"]["namespace"]
    said = waiting.eventually(
        lambda: kubectl.run("logs", pod, "-n", namespace, "-c", "app"), "the app says when"
    )
    return float(said) - created


def _remove(watch: podwatch.PodWatch, app: kubectl.Object) -> None:
    kubectl.delete(app)
    watch.deleted(_pod_of(app))


def _pod_of(app: kubectl.Object) -> str:
    return f"{app['metadata']['name']}-0"


def _confined(tunnel: probes.Tunnel, name: str) -> kubectl.Object:
    return manifests.app(name, tunnel.app.namespace, tunnel.vpn, command=["sh", "-c", _SAY_WHEN])


def _unconfined(
    confined_pod: kubectl.Object, name: str, *, with_init_container: bool
) -> kubectl.Object:
    """Return the same StatefulSet under another name, without all that makes its pod confined."""
    spec = copy.deepcopy(confined_pod["spec"])
    labels = {"app": name}
    spec["selector"] = {"matchLabels": labels}
    spec["template"]["metadata"] = {"labels": labels}
    pod = spec["template"]["spec"]
    (gate,) = pod.pop("initContainers")
    if with_init_container:
        no_op = {key: gate[key] for key in ("image", "securityContext", "resources")}
        pod["initContainers"] = [no_op | {"name": "no-op", "command": ["true"]}]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": confined_pod["metadata"]["namespace"]},
        "spec": spec,
    }
