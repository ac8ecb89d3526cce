"""What wakes passes beside kopf's watches: of these objects only a few are ours.

kopf would watch all of the cluster's; the API server selects them by label or namespace.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

from piavpn import kube
from piavpn.api import names
from piavpn.controller import model, reconciler

_MADE_HERE = "app.kubernetes.io/managed-by=piavpn-operator"

Changed = Callable[[str, model.Object], None]
"""Takes the kind of a change and the object."""


def threads(
    cluster: kube.Cluster, namespace: str, loop: reconciler.Reconciler, stop: threading.Event
) -> Iterator[threading.Thread]:
    """Yield the threads that watch until `stop` is set. None has been started."""
    wake = functools.partial(_wake, loop)
    for kind, where, labels, changed in (
        # Credentials act at once.
        (kube.SECRETS, namespace, "", lambda _change, _body: loop.wake_all()),
        # What somebody deletes or edits comes back, `kubectl rollout restart` is heeded.
        (kube.CONFIG_MAPS, namespace, names.LABEL_GATEWAY, wake),
        (kube.SERVICES, None, _MADE_HERE, wake),
        (kube.NETWORK_POLICIES, None, _MADE_HERE, wake),
        (kube.STATEFUL_SETS, None, _MADE_HERE, wake),
        (kube.PODS, None, names.LABEL_VPN, wake),
        (kube.PODS, namespace, names.LABEL_GATEWAY, functools.partial(_gateway_changed, loop)),
        # kopf watches these, too. But where their CRDs are made anew it may not any more: it looks
        # what there is at each of their changes, twice at once, and the older answer may win.
        (kube.PIA_VPNS, None, "", lambda _change, body: loop.wake(body["metadata"]["name"])),
        (
            kube.VPN_SERVICE_CONTAINERS,
            None,
            "",
            lambda _change, body: loop.wake(body["spec"]["vpnRef"]["name"]),
        ),
    ):
        watched = cluster.watch(kind, where, labels=labels, stop=stop)
        name = f"{kind.plural} {labels}".strip()
        yield threading.Thread(target=_heed, args=(watched, changed), daemon=True, name=name)


def _heed(watched: Iterator[tuple[str, model.Object]], changed: Changed) -> None:
    for change, body in watched:
        if change != "SYNCED":
            changed(change, body)


def _wake(loop: reconciler.Reconciler, _change: str, body: model.Object) -> None:
    labels = body["metadata"].get("labels") or {}
    vpn = labels.get(names.LABEL_VPN) or labels.get(names.LABEL_GATEWAY)
    if vpn is not None:
        loop.wake(vpn)


def _gateway_changed(loop: reconciler.Reconciler, change: str, body: model.Object) -> None:
    _wake(loop, change, body)
    if change == "DELETED":
        loop.wake_all()  # its servers are free for others
