"""Tell how things stand: conditions when they change, an Event for each transition."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from piavpn import kube, logs
from piavpn.api import codec, conditions, names, piavpns
from piavpn.api.conditions import Condition, PiaVpnCondition, PodCondition, ServiceCondition, Status
from piavpn.controller import mirror, model, ownership

log = logging.getLogger(__name__)

_WAYS_UP = {
    PiaVpnCondition.READY,
    PiaVpnCondition.GATEWAY_ATTACHED,
    ServiceCondition.CONFINED,
    ServiceCondition.LEAK_FREE,
}
"""Conditions with several states before they are True."""


_KEPT = ("network", "servers", "services", "labelledPods")
"""What of a PiaVpn's status is ours beside conditions."""


class Reporter:
    """Writes the operator's part of the CRs' status, and Events about it."""

    def __init__(self, cluster: kube.Cluster) -> None:
        self._cluster = cluster
        self._noticed: dict[str, tuple[model.Notice, ...]] = {}  # by UID: what was told last
        self._written: set[str] = set()
        """UIDs of what was written once: fields that an older version owned are dropped by that."""
        self._present: dict[str, frozenset[str]] = {}  # by VPN: UIDs of what was there last

    def report(self, seen: model.Observed, decision: model.Decision) -> None:
        """Write what changed. What is refused of one object holds up no other.

        Raises:
            kube.KubeError: the API server refused something, or did not answer.
        """
        self._forget(seen, decision)
        refused: kube.KubeError | None = None
        for write in self._writes(seen, decision):
            try:
                write()
            except kube.KubeError as error:
                if not error.answered:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused

    def _writes(
        self, seen: model.Observed, decision: model.Decision
    ) -> Iterable[Callable[[], None]]:
        """Return what writes each object's part."""
        if seen.vpn is not None:
            yield functools.partial(self._vpn, seen, seen.vpn, decision)
        if seen.invalid is not None:
            yield functools.partial(self._unreadable, seen.now, seen.invalid, decision)
        for service in decision.services:
            yield functools.partial(self._service, seen.now, service)
        for pod in decision.labelled:
            yield functools.partial(self._labelled_pod, seen.now, pod)

    def _forget(self, seen: model.Observed, decision: model.Decision) -> None:
        """Forget what is there no more."""
        present = {each.service.uid for each in decision.services}
        present |= {seen.vpn.uid} if seen.vpn is not None else set()
        for uid in self._present.pop(seen.name, frozenset()) - present:
            self._written.discard(uid)
            self._noticed.pop(uid, None)
        if present:
            self._present[seen.name] = frozenset(present)

    def _vpn(self, seen: model.Observed, vpn: piavpns.PiaVpn, decision: model.Decision) -> None:
        wanted = wanted_conditions(decision.verdicts, vpn.generation)
        before = vpn.status
        head = {
            "observedGeneration": vpn.generation,
            "network": codec.encode(decision.network),
            "servers": codec.encode(decision.measured) or None,
            "services": len(seen.services) + len(seen.labelled_pods),
            "labelledPods": codec.encode(_labelled_pods(seen)),
            "nodeName": decision.node,
        }
        old = {
            "observedGeneration": before.observed_generation,
            "network": codec.encode(before.network),
            "servers": codec.encode(before.servers) or None,
            "services": before.services,
            "labelledPods": codec.encode(before.labelled_pods),
            "nodeName": before.node_name,
        }
        regarding = _reference(kube.PIA_VPNS, vpn.name, None, vpn.uid)
        if vpn.uid not in self._written or head != old or _differ(before.conditions, wanted):
            self._write(kube.PIA_VPNS, regarding, head, before.conditions, wanted, seen.now)
        for notice in decision.notices:
            if notice not in self._noticed.get(vpn.uid, ()):
                self._post(regarding, notice)
        self._noticed[vpn.uid] = decision.notices

    def _unreadable(self, now: datetime, vpn: piavpns.Unreadable, decision: model.Decision) -> None:
        wanted = wanted_conditions(decision.verdicts, vpn.generation)
        regarding = _reference(kube.PIA_VPNS, vpn.name, None, vpn.uid)
        if _differ(vpn.conditions, wanted):
            kept = {key: vpn.status.get(key) for key in _KEPT}
            head = {"observedGeneration": vpn.generation, **kept}
            self._write(kube.PIA_VPNS, regarding, head, vpn.conditions, wanted, now)

    def _service(self, now: datetime, decision: model.ServiceDecision) -> None:
        service = decision.service
        verdicts = {
            ServiceCondition.ACCEPTED: decision.accepted,
            ServiceCondition.READY: decision.ready,
            **decision.told,
        }
        wanted = wanted_conditions(verdicts, service.generation)
        before = service.status
        head = {
            "observedGeneration": service.generation,
            "address": codec.encode(decision.address),
            "forwardedPort": decision.forwarded_port,
        }
        old = {
            "observedGeneration": before.observed_generation,
            "address": codec.encode(before.address),
            "forwardedPort": before.forwarded_port,
        }
        kind = kube.VPN_SERVICE_CONTAINERS
        regarding = _reference(kind, service.name, service.namespace, service.uid)
        if service.uid not in self._written or head != old or _differ(before.conditions, wanted):
            self._write(kind, regarding, head, before.conditions, wanted, now)

    def _labelled_pod(self, now: datetime, decision: model.LabelledDecision) -> None:
        pod = decision.pod
        if "deletionTimestamp" in pod["metadata"]:
            return
        wanted = wanted_conditions({PodCondition.ACCEPTED: decision.accepted}, 0)
        before = [it for it in [mirror.own_condition(pod, PodCondition.ACCEPTED)] if it]
        if not _differ(before, wanted):
            return
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        told = conditions.to_status(conditions.transitioned(before, wanted, now))
        for item in told:
            del item["observedGeneration"]  # pods' conditions have none before Kubernetes 1.33
        # The UID keeps it from the next pod of that name.
        body = {"metadata": metadata, "status": {"conditions": told}}
        if self._cluster.apply_status(kube.PODS, body, manager=names.MANAGER_OPERATOR) is None:
            return
        regarding = _reference(kube.PODS, metadata["name"], metadata["namespace"], metadata["uid"])
        for condition in _transitions(before, wanted):
            if condition.status is not Status.TRUE:
                self._tell(regarding, condition)

    def _write(  # noqa: PLR0913, PLR0917 - a status has these parts
        self,
        kind: kube.Kind,
        regarding: model.Object,
        head: Mapping[str, Any],
        before: Iterable[Condition],
        wanted: tuple[Condition, ...],
        now: datetime,
    ) -> None:
        dated = conditions.transitioned(before, wanted, now)
        status = {key: value for key, value in head.items() if value is not None}
        status["conditions"] = conditions.to_status(dated)
        metadata = {k: v for k, v in regarding["metadata"].items() if k != "uid"}
        body = {"metadata": metadata, "status": status}
        if self._apply(kind, body) is None:
            return
        self._written.add(regarding["metadata"]["uid"])
        for condition in _transitions(before, wanted):
            self._tell(regarding, condition)

    def _apply(self, kind: kube.Kind, body: model.Object) -> model.Object | None:
        """Apply the status, and take what strangers own of it from them; None: it is gone."""
        manager, metadata = names.MANAGER_OPERATOR, body["metadata"]
        try:
            answer = self._cluster.apply_status(kind, body, manager=manager)
        except kube.KubeError as error:
            name, namespace = metadata["name"], metadata.get("namespace")
            found = self._cluster.get(kind, name, namespace) if error.conflict else None
            if found is None or not self._release(kind, found):
                raise
            return self._cluster.apply_status(kind, body, manager=manager)
        if answer is not None:
            self._release(kind, answer)
        return answer

    def _release(self, kind: kube.Kind, found: model.Object) -> bool:
        """Take the status from strangers; return whether there were any."""
        metadata, patch = found["metadata"], ownership.without_strangers(found)
        if patch is not None:
            # Of the object: what a request for its status says of owners is passed over.
            self._cluster.patch(kind, metadata["name"], metadata.get("namespace"), patch)
        return patch is not None

    def _tell(self, regarding: model.Object, condition: Condition) -> None:
        kind = "Normal" if condition.status is Status.TRUE else "Warning"
        message = f"{condition.type} is {condition.status}: {condition.message}".rstrip(": ")
        self._post(regarding, model.Notice(kind, condition.reason, message))

    def _post(self, regarding: model.Object, notice: model.Notice) -> None:
        subject = _about(regarding, notice.reason)
        level = logging.INFO if notice.type == "Normal" else logging.WARNING
        log.log(level, "%s", notice.message, extra=subject)
        try:
            self._cluster.create_event(
                regarding,
                type=notice.type,
                reason=notice.reason,
                message=notice.message,
                component=names.MANAGER_OPERATOR,
            )
        except kube.KubeError as error:  # the condition stands; a closing namespace takes no Event
            log.warning("no Event: %s", error, extra=subject)


def _labelled_pods(seen: model.Observed) -> piavpns.LabelledPods:
    return piavpns.LabelledPods(seen.settings.image, seen.settings.cluster_domain)


def wanted_conditions(
    verdicts: Mapping[Any, model.Verdict], generation: int
) -> tuple[Condition, ...]:
    """Return the conditions that the verdicts make, without transition times."""
    return tuple(
        Condition(
            type=str(kind),
            status=verdict.status,
            reason=str(verdict.reason),
            message=verdict.message[:1024],
            observed_generation=generation,
        )
        for kind, verdict in verdicts.items()
    )


def _differ(before: Iterable[Condition], wanted: Iterable[Condition]) -> bool:
    known = {item.type: _content(item) for item in before}
    return any(known.get(item.type) != _content(item) for item in wanted)


def _content(item: Condition) -> tuple[Status, str, str, int]:
    return item.status, item.reason, item.message, item.observed_generation


def _transitions(before: Iterable[Condition], wanted: Iterable[Condition]) -> Iterable[Condition]:
    """Return the conditions that turned True or False, or are False for another reason now.

    Unknown is the state of a start: it is worth a condition, and an Event only where it was True.
    """
    known = {item.type: item for item in before}
    return (item for item in wanted if _is_news(known.get(item.type), item))


def _is_news(old: Condition | None, new: Condition) -> bool:
    if new.type in _WAYS_UP:
        # On its way up it is False for one reason after the other: the other conditions tell.
        was_up = old is not None and old.status is Status.TRUE
        return was_up is not (new.status is Status.TRUE)
    if new.status is Status.UNKNOWN:
        return False
    return old is None or (old.status, old.reason) != (new.status, new.reason)


def _about(regarding: model.Object, reason: str) -> dict[str, Any]:
    metadata = regarding["metadata"]
    return logs.about(regarding["kind"], metadata["name"], metadata.get("namespace"), reason=reason)


def _reference(kind: kube.Kind, name: str, namespace: str | None, uid: str) -> model.Object:
    metadata = {"name": name, "uid": uid}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
