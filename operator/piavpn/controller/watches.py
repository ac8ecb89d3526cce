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


def threads(
    cluster: kube.Cluster, namespace: str, loop: reconciler.Reconciler, stop: threading.Event
) -> Iterator[threading.Thread]:
    """Yield the threads that watch until `stop` is set. None has been started."""
    for kind, where, labels, changed in (
        # Credentials act at once.
        (kube.SECRETS, namespace, "", lambda _: loop.wake_all()),
        # What somebody deletes or edits comes back.
        (kube.CONFIG_MAPS, namespace, names.LABEL_GATEWAY, functools.partial(_wake, loop)),
        (kube.SERVICES, None, _MADE_HERE, functools.partial(_wake, loop)),
        (kube.NETWORK_POLICIES, None, _MADE_HERE, functools.partial(_wake, loop)),
    ):
        watched = cluster.watch(kind, where, labels=labels, stop=stop)
        yield threading.Thread(target=_heed, args=(watched, changed), daemon=True, name=kind.plural)


def _heed(
    watched: Iterator[tuple[str, model.Object]], changed: Callable[[model.Object], None]
) -> None:
    for change, body in watched:
        if change != "SYNCED":
            changed(body)


def _wake(loop: reconciler.Reconciler, body: model.Object) -> None:
    labels = body["metadata"].get("labels") or {}
    vpn = labels.get(names.LABEL_VPN) or labels.get(names.LABEL_GATEWAY)
    if vpn is not None:
        loop.wake(vpn)
