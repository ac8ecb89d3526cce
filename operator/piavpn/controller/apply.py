"""Bring the cluster to what was decided: server-side apply of whole objects, one manager."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping

from piavpn import kube, logs
from piavpn.api import names, piavpns, vpnapps
from piavpn.controller import (
    apply_labelled,
    build_gateway,
    build_mounts,
    build_policy,
    build_proxy,
    build_service,
    model,
    network,
)
from piavpn.controller.reasons import Reason

log = logging.getLogger(__name__)

_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` writes into a pod template."""
_REFUSED = (400, 403, 422, 500)
"""Answers of an API server that mostly stay the same until something else changes.

500 is that of a webhook that fails, and to a field that a pod template does not have."""


class Applier:
    """Writes objects; CRs' status is report's business.

    What nobody has touched since is not written again: a pass over many apps costs some lists.
    """

    def __init__(self, cluster: kube.Cluster) -> None:
        self._cluster = cluster
        self._refusals: dict[model.ServiceKey, str] = {}
        self._gateway_refusals: dict[str, str] = {}
        self._applied: dict[str, dict[model.ObjectKey, tuple[str, str]]] = {}
        """By VPN: digest of what was applied last, and version of the object that came of it."""
        self._labelled = apply_labelled.LabelledApplier(cluster, self._annotate, self._delete)

    def gateway_refusal(self, vpn: str) -> str:
        """Return what the API server said where it did not take the VPN's gateway last."""
        return self._gateway_refusals.get(vpn, "")

    @property
    def refusals(self) -> Mapping[model.ServiceKey, str]:
        """What the API server said where it took no object of a service last."""
        return self._refusals

    def apply(self, seen: model.Observed, decision: model.Decision) -> None:
        """Make the objects of the VPN's gateway and of its services.

        What the API server refuses of one service holds up no other. Where it does not answer, the
        rest is not asked: a hundred waits in a row would look like a pass that hangs.

        Raises:
            kube.KubeError: the API server refused something or did not answer.
        """
        self._forget(seen)
        self._gateway_refusals.pop(seen.name, None)
        if seen.vpn is not None and decision.gateway is not None:
            try:
                self._gateway(seen, seen.vpn, decision)
            except kube.KubeError as error:
                if error.status in _REFUSED:
                    self._gateway_refusals[seen.name] = str(error)
                raise
        refused: kube.KubeError | None = None
        for service in decision.services:
            self._refusals.pop(network.key(service.service), None)
            try:
                if decision.network is not None and service.accepted.holds:
                    self._service(seen, service, decision.network)
                elif service.accepted.reason == Reason.NAMESPACE_NOT_ALLOWED:
                    self._end(seen, service.service)
            except kube.KubeError as error:
                if not error.answered:
                    raise
                refused = refused or error
        refused = self._labelled.apply(seen, decision) or refused
        if refused is not None:
            raise refused

    def _forget(self, seen: model.Observed) -> None:
        """Forget objects that are there no more: they would be made anew in any case."""
        known = self._applied.pop(seen.name, {})
        if left := {key: applied for key, applied in known.items() if key in seen.made}:
            self._applied[seen.name] = left

    def _gateway(self, seen: model.Observed, vpn: piavpns.PiaVpn, decision: model.Decision) -> None:
        assert decision.gateway is not None  # noqa: S101 - the caller looked
        config = build_gateway.config_map(vpn, decision.gateway, seen.settings.namespace)
        self._make(seen, kube.CONFIG_MAPS, config)
        if decision.gateway.port_forwarding is not None:
            secret = build_gateway.ports_secret(seen.settings.namespace)
            self._make(seen, kube.SECRETS, secret)
        self._proxy(seen, vpn)
        wanted = build_gateway.stateful_set(vpn, seen.settings)
        made = self._make(seen, kube.STATEFUL_SETS, wanted)
        if seen.gateway_pod is not None and not self._replaced(made, seen.gateway_pod):
            inputs = build_gateway.session_inputs(decision.gateway, seen.account)
            self._refresh_mounts(seen.gateway_pod, inputs)

    def _proxy(self, seen: model.Observed, vpn: piavpns.PiaVpn) -> None:
        proxy, namespace = vpn.spec.http_proxy, seen.settings.namespace
        if proxy is not None:
            metadata = build_gateway.metadata(vpn, namespace)
            policy = build_proxy.network_policy(vpn, proxy, metadata)
            self._make(seen, kube.NETWORK_POLICIES, policy)
            service = build_proxy.service(vpn, proxy, metadata)
            self._make(seen, kube.SERVICES, service)
        elif seen.has_http_proxy:
            name = names.http_proxy_name(vpn.name)
            self._cluster.delete(kube.NETWORK_POLICIES, name, namespace)
            self._cluster.delete(kube.SERVICES, name, namespace)

    def _service(
        self,
        seen: model.Observed,
        decision: model.ServiceDecision,
        net: piavpns.NetworkStatus,
    ) -> None:
        service = decision.service
        try:
            self._app(seen, decision, net)
        except kube.KubeError as error:
            if error.status in _REFUSED:
                self._refusals[network.key(service)] = str(error)
            raise
        # Last: nothing waits for it, and no app is the worse where it is refused.
        bypass = seen.vpn.spec.bypass_cidrs if seen.vpn is not None else ()
        policy = build_policy.network_policy(
            service, seen.cluster_cidrs, seen.node_addresses, bypass
        )
        self._make(seen, kube.NETWORK_POLICIES, policy)

    def _app(
        self, seen: model.Observed, decision: model.ServiceDecision, net: piavpns.NetworkStatus
    ) -> None:
        service, address = decision.service, decision.address
        assert address is not None  # noqa: S101 - an accepted service has one
        for claim in build_mounts.claims(service):
            self._make(seen, kube.PERSISTENT_VOLUME_CLAIMS, claim)
        gateway = seen.vpn.spec.gateway if seen.vpn is not None else None
        tolerations = gateway.tolerations if gateway is not None else ()
        wanted = build_service.stateful_set(
            service, address, net, seen.settings, tolerations=tolerations
        )
        made = self._make(seen, kube.STATEFUL_SETS, wanted)
        cluster_service = build_service.cluster_service(service)
        if cluster_service is not None:
            self._make(seen, kube.SERVICES, cluster_service)
        elif network.key(service) in seen.services_with_ports:
            self._cluster.delete(kube.SERVICES, service.name, service.namespace)
        pod = seen.service_pods.get(network.key(service))
        if pod is not None and not self._replaced(made, pod):
            self._annotate(pod, decision.announced)

    def _make(self, seen: model.Observed, kind: kube.Kind, body: model.Object) -> model.Object:
        """Apply the object, unless it is as our last apply of the same left it; return it."""
        key = (kind.plural, body["metadata"]["namespace"], body["metadata"]["name"])
        there, digest = seen.made.get(key), _digest(body)
        known = self._applied.setdefault(seen.name, {})
        if there is not None and known.get(key) == (digest, _version(there)):
            return there
        made = self._cluster.apply(kind, body, manager=names.MANAGER_OPERATOR)
        known[key] = digest, _version(made)
        return made

    def _end(self, seen: model.Observed, service: vpnapps.VpnServiceContainer) -> None:
        """Take the tunnel from an app that may not use it any more: its pod ends."""
        if network.key(service) in seen.services_with_pods:
            subject = logs.about("VpnServiceContainer", service.name, service.namespace)
            log.info("ending its pod: its namespace is not allowed", extra=subject)
            self._cluster.delete(kube.STATEFUL_SETS, service.name, service.namespace)

    def _replaced(self, stateful_set: model.Object, pod: model.Object) -> bool:
        """Delete a pod that was made from another template; its StatefulSet makes the new one.

        The StatefulSet does not do it: it waits for ever for a pod that never became ready.

        Args:
            stateful_set: as the API server has it: with what others have written into it.
            pod: its pod.
        """
        annotations = pod["metadata"].get("annotations") or {}
        template = stateful_set["spec"]["template"]["metadata"]["annotations"]
        asked = template.get(_RESTARTED_AT)
        if "deletionTimestamp" in pod["metadata"]:
            return False
        if not _tolerates(pod["spec"], stateful_set["spec"]["template"]["spec"]):
            self._delete(pod, "it waits for a node, and may go to more of them now")
        elif annotations.get(names.ANNOTATION_SPEC_HASH) != template[names.ANNOTATION_SPEC_HASH]:
            self._delete(pod, "its spec changed")
        elif asked is not None and annotations.get(_RESTARTED_AT) != asked:
            self._delete(pod, "a restart was asked for")
        else:
            return False
        return True

    def _delete(self, pod: model.Object, why: str) -> None:
        metadata = pod["metadata"]
        subject = logs.about("Pod", metadata["name"], metadata["namespace"])
        log.info("deleting it: %s", why, extra=subject)
        self._cluster.delete(
            kube.PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"]
        )

    def _refresh_mounts(self, pod: model.Object, inputs: str) -> None:
        """Touch the pod, so that the kubelet refreshes its mounts now and not in a minute."""
        self._annotate(pod, {names.ANNOTATION_SESSION_INPUTS: inputs})

    def _annotate(self, pod: model.Object, wanted: Mapping[str, str | None]) -> None:
        """Give the pod these annotations, and take away those that are None."""
        metadata = pod["metadata"]
        annotations = metadata.get("annotations") or {}
        changes = {key: text for key, text in wanted.items() if annotations.get(key) != text}
        if changes:
            # The UID keeps it from the next pod of that name.
            patch = {"metadata": {"uid": metadata["uid"], "annotations": changes}}
            self._cluster.patch(kube.PODS, metadata["name"], metadata["namespace"], patch)


def _tolerates(pod: model.Object, template: model.Object) -> bool:
    """Tell whether a pod that has no node yet tolerates what its template does."""
    known = pod.get("tolerations") or []
    wanted = template.get("tolerations") or []
    return pod.get("nodeName") is not None or all(each in known for each in wanted)


def _digest(body: model.Object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _version(body: model.Object) -> str:
    return str(body["metadata"]["resourceVersion"])
