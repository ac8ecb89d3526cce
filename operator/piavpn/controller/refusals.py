"""What the API server says when it takes an app's pod from no one.

A StatefulSet's own status is silent about that: its controller writes Events.
"""

from __future__ import annotations

from collections.abc import Mapping

from piavpn import kube
from piavpn.controller import model

_REFUSED = "FailedCreate"


def of_pods(
    cluster: kube.Cluster, stateful_sets: Mapping[model.ServiceKey, str]
) -> dict[model.ServiceKey, str]:
    """Return what was said last of the pods that these StatefulSets, given by UID, wait for.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    found = {}
    for key, uid in stateful_sets.items():
        events = cluster.list(kube.EVENTS, key[0], fields=f"involvedObject.uid={uid}")
        if message := last_refusal(events):
            found[key] = message
    return found


def last_refusal(events: list[model.Object]) -> str:
    """Return the last Event's message where it tells that no pod could be made, else nothing.

    Args:
        events: those of one StatefulSet.
    """
    last = max(events, key=_time, default=None)
    if last is None or last.get("reason") != _REFUSED:
        return ""
    return str(last.get("message", ""))


def _time(event: model.Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
