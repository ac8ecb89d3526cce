"""What confinement costs an app at its start, against the same pod without it.

A round starts an app of each kind: confined, on its gateway's node and on another one; the first's
very StatefulSet with a no-op init container in place of the gate, and with none; and a pod with a
VXLAN link to another gateway's, as users may have it instead. The time is from the pod's creation
to what the app prints first, all by one clock: nodes are containers of this machine.

A kubelet looks once a second for containers that ended, so the end of an init container costs up to
a second more, depending on when in that second the pod was made. The rounds go through that second
evenly; medians are compared, since two starts of a round meet it at different places.
"""

from __future__ import annotations

import copy
import enum
import time

from bench import comparison, othernode, podwatch, results, rivals
from harness import kubectl, manifests, probes, waiting

_ROUNDS = 20
_KUBELETS_PERIOD_SECONDS = 1.0
_SAY_WHEN = ("sh", "-c", "date +%s.%N; trap 'exit 0' TERM; sleep 86400 & wait")


class Kind(enum.StrEnum):
    """What is started."""

    CONFINED = "confined"
    ELSEWHERE = "elsewhere"
    NO_OP = "no-op"
    PLAIN = "plain"
    VXLAN = "vxlan"


_NAMES = {
    Kind.CONFINED: "confined",
    Kind.ELSEWHERE: "confined on another node than the gateway",
    Kind.NO_OP: "no-op init container",
    Kind.PLAIN: "no init container",
    Kind.VXLAN: "VXLAN to a gateway's pod",
}
_IN_THE_ROW = (Kind.CONFINED, Kind.NO_OP, Kind.PLAIN)
_ROW = f"start of an app: {' / '.join(_NAMES[kind] for kind in _IN_THE_ROW)}"
_PATHS = {
    Kind.CONFINED: comparison.APP,
    Kind.ELSEWHERE: comparison.ELSEWHERE,
    Kind.VXLAN: comparison.VXLAN,
}
_BARS = {Kind.NO_OP: 0.2, Kind.PLAIN: 1.3, Kind.VXLAN: 0.0}
"""Seconds by which the confined one may take longer."""


def measure(tunnel: probes.Tunnel, others: rivals.Rivals) -> list[results.Measurement]:
    """Measure all kinds, and what the confined one takes longer than each of the others."""
    with podwatch.watching(tunnel.app.namespace) as watch:
        confined_pod = _template(tunnel, watch)
        rounds = [
            _round(watch, _apps(tunnel, others, confined_pod, number), number)
            for number in range(_ROUNDS)
        ]
    taken = {kind: tuple(each[kind] for each in rounds) for kind in Kind}
    confined = taken[Kind.CONFINED]
    return [
        *(
            results.Measurement(
                f"app start, {_NAMES[kind]}",
                "s",
                taken[kind],
                row=_ROW if kind in _IN_THE_ROW else "",
            )
            for kind in Kind
        ),
        *(
            results.Measurement("start of an app", "s", taken[kind], path=path)
            for kind, path in _PATHS.items()
        ),
        *(
            comparison.difference(
                f"app start, confined over {_NAMES[kind]}", confined, taken[kind], limit
            )
            for kind, limit in _BARS.items()
        ),
    ]


def _template(tunnel: probes.Tunnel, watch: podwatch.PodWatch) -> kubectl.Object:
    """Return the StatefulSet that the operator makes of such an app. Warms up what is cold, too."""
    app = _confined(tunnel, "template")
    _start(watch, app)
    found = kubectl.get("statefulset", "template", tunnel.app.namespace)
    assert found is not None, "the operator made no StatefulSet"
    _remove(watch, app)
    return found


def _apps(
    tunnel: probes.Tunnel, others: rivals.Rivals, confined_pod: kubectl.Object, number: int
) -> dict[Kind, kubectl.Object]:
    """Return an app of each kind, for one round."""
    names = {kind: f"{kind}-{number}" for kind in Kind}
    return {
        Kind.CONFINED: _confined(tunnel, names[Kind.CONFINED]),
        Kind.ELSEWHERE: othernode.app(tunnel, names[Kind.ELSEWHERE], _SAY_WHEN),
        Kind.NO_OP: _unconfined(confined_pod, names[Kind.NO_OP], with_init_container=True),
        Kind.PLAIN: _unconfined(confined_pod, names[Kind.PLAIN], with_init_container=False),
        Kind.VXLAN: others.behind_gateway(names[Kind.VXLAN], "172.16.0.11", _SAY_WHEN),
    }


def _round(
    watch: podwatch.PodWatch, apps: dict[Kind, kubectl.Object], number: int
) -> dict[Kind, float]:
    """Start each kind once; each is first in turn."""
    taken = {}
    first = number % len(Kind)
    for kind in (*list(Kind)[first:], *list(Kind)[:first]):
        # The former pod's removal ended at the kubelet's beat: this one is made between two.
        time.sleep(number / _ROUNDS * _KUBELETS_PERIOD_SECONDS)
        taken[kind] = _start(watch, apps[kind])
        _remove(watch, apps[kind])
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
    name = str(app["metadata"]["name"])
    return name if app["kind"] == "Pod" else f"{name}-0"


def _confined(tunnel: probes.Tunnel, name: str) -> kubectl.Object:
    return manifests.app(name, tunnel.app.namespace, tunnel.vpn, command=list(_SAY_WHEN))


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
