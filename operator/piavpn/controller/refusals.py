"""What keeps an app's pod from being made, or from starting, and stands in Events alone.

A StatefulSet's status is silent about a pod that nobody takes, and a pod's about a volume that
cannot be mounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from piavpn import kube
from piavpn.controller import model

_REFUSED = "FailedCreate"
_PATIENCE = timedelta(seconds=10)
"""In which an ordinary pod has started, so that nobody need be asked why it has not."""


def of_missing_pods(
    cluster: kube.Cluster, stateful_sets: Mapping[model.ServiceKey, str]
) -> dict[model.ServiceKey, str]:
    """Return what was said last of the pods that these StatefulSets, given by UID, wait for.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    events = _about(cluster, stateful_sets, "involvedObject.kind=StatefulSet")
    said = {key: last_refusal(events[key]) for key in stateful_sets}
    return {key: message for key, message in said.items() if message}


def of_missing_gateway(cluster: kube.Cluster, stateful_set: model.Object | None) -> str:
    """Return what was said last of the pod that the gateway's StatefulSet waits for.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    if stateful_set is None:
        return ""
    metadata = stateful_set["metadata"]
    key = metadata["namespace"], ""
    return last_refusal(_about(cluster, {key: metadata["uid"]}, "")[key])


def of_waiting_pods(
    cluster: kube.Cluster, pods: Mapping[model.ServiceKey, model.Object], now: datetime
) -> dict[model.ServiceKey, str]:
    """Return what was said last of those of the pods that should have started by now.

    Raises:
        kube.KubeError: the API server did not answer.
    """
    waiting = {key: pod["metadata"]["uid"] for key, pod in pods.items() if waits(pod, now)}
    events = _about(cluster, waiting, "involvedObject.kind=Pod,type=Warning")
    said = {key: last_warning(events[key]) for key in waiting}
    return {key: message for key, message in said.items() if message}


def waits(pod: model.Object, now: datetime) -> bool:
    """Tell whether the pod has not started, though it had the time."""
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return (pod.get("status") or {}).get("phase") == "Pending" and now - made > _PATIENCE


def last_refusal(events: list[model.Object]) -> str:
    """Return the last Event's message where it tells that no pod could be made, else nothing.

    Args:
        events: those of one StatefulSet.
    """
    last = max(events, key=_time, default=None)
    if last is None or last.get("reason") != _REFUSED:
        return ""
    return str(last.get("message", ""))


def last_warning(events: list[model.Object]) -> str:
    """Return the message of the last Event that warns of something; nothing where none does.

    Args:
        events: those of one pod.
    """
    warnings = [event for event in events if event.get("type") == "Warning"]
    return str(max(warnings, key=_time).get("message", "")) if warnings else ""


def _about(
    cluster: kube.Cluster, uids: Mapping[model.ServiceKey, str], fields: str
) -> dict[model.ServiceKey, list[model.Object]]:
    """Return the Events about these objects: a list for each namespace, however many they are.

    Args:
        cluster: the API.
        uids: the objects.
        fields: the selector of what all of them have in common.
    """
    found: dict[str, list[model.Object]] = {uid: [] for uid in uids.values()}
    for namespace in {key[0] for key in uids}:
        here = [uid for key, uid in uids.items() if key[0] == namespace]
        selector = f"involvedObject.uid={here[0]}" if len(here) == 1 else fields
        for event in cluster.list(kube.EVENTS, namespace, fields=selector):
            about = event["involvedObject"].get("uid", "")
            if about in found:
                found[about].append(event)
    return {key: found[uid] for key, uid in uids.items()}


def _time(event: model.Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
