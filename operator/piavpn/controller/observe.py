"""Read everything that one pass looks at.

The API server is asked, not a cache: addresses are given and pods deleted by what is found here,
and a lost event must not decide that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from piavpn import keptlists, kube, logs
from piavpn.api import codec, names, piavpns, vpnapps
from piavpn.controller import (
    accounts,
    confined,
    dedicatedips,
    labelled,
    leases,
    lostnodes,
    made,
    mirror,
    model,
    network,
    ranges,
    refusals,
    serverlists,
    settings,
    siblings,
)

log = logging.getLogger(__name__)


class Observer:
    """Reads the cluster for the operator."""

    def __init__(
        self,
        cluster: kube.Cluster,
        operator: settings.Settings,
        lists: serverlists.ServerLists,
        dedicated: dedicatedips.DedicatedIps,
        agents: leases.Leases,
    ) -> None:
        self._cluster = cluster
        self._settings = operator
        self._lists = lists
        self._dedicated = dedicated
        self._agents = agents
        self._ranges = ranges.Ranges(cluster, operator.cluster_cidrs)

    def observe(self, name: str) -> model.Observed:
        """Return what is to be seen of the PiaVpn `name` and of its services.

        Raises:
            kube.KubeError: the API server did not answer.
        """
        known = self._ranges.look()
        vpn, others, invalid = self._vpns(name)
        services = self._services(name)
        everyone = self._pods(name, vpn, services)
        pods, elsewhere = confined.of_services(everyone, name, services)
        labelled_pods = confined.labelled(everyone, name)
        objects = made.OfServices(self._cluster, name, services)
        now = datetime.now(UTC)
        awaiting = {
            key: objects.stateful_sets[key]
            for key in objects.stateful_sets.keys() - pods.keys() - _suspended(services)
        }
        seen = model.Observed(
            now=now,
            settings=self._settings,
            name=name,
            vpn=vpn,
            invalid=invalid,
            other_vpns=others,
            services=services,
            namespace_labels=self._namespace_labels(vpn),
            cluster_cidrs=known.cidrs,
            node_addresses=known.nodes,
            api_address=known.api,
            service_pods=pods,
            labelled_pods=labelled_pods,
            pods_elsewhere=elsewhere,
            foreign=objects.foreign,
            made=objects.objects,
            services_with_ports=objects.with_ports,
            services_with_pods=frozenset(objects.stateful_sets),
            refusals=refusals.of_missing_pods(self._cluster, awaiting),
            warnings=refusals.of_waiting_pods(self._cluster, pods, now),
            port_forwarding=any(s.spec.receive_forwarded_port is not None for s in services)
            or any(map(labelled.wants_port, labelled_pods)),
        )
        if vpn is not None:
            seen = self._with_gateway(seen, vpn)
        ours = (seen.gateway_pod, *pods.values(), *labelled_pods)
        on = map(mirror.node_of, ours)
        silent = self._agents.silent(name, (node for node in on if node is not None))
        lost = lostnodes.of_pods(self._cluster, ours)
        return dataclasses.replace(seen, silent_agents=silent, lost_nodes=lost)

    def vpn_names(self) -> set[str]:
        """Return the names of all VPNs: those that are there, and those that services name."""
        found = {item["metadata"]["name"] for item in self._cluster.list(kube.PIA_VPNS)}
        for item in self._cluster.list(kube.VPN_SERVICE_CONTAINERS):
            found.add(item["spec"]["vpnRef"]["name"])
        return found

    def account_names(self) -> set[str]:
        """Return the names of the accounts' Secrets that PiaVpns use."""
        refs = (item["spec"]["credentialsSecretRef"] for item in self._cluster.list(kube.PIA_VPNS))
        return {codec.decode(piavpns.CredentialsSecretRef, ref).account_name for ref in refs}

    def list_names(self) -> set[str]:
        """Return the names of the ConfigMaps with the server lists that PiaVpns use."""
        found = set()
        for item in self._cluster.list(kube.PIA_VPNS):
            with contextlib.suppress(ValueError):  # its own pass tells of it
                endpoints = codec.decode(piavpns.Endpoints, item["spec"].get("endpoints") or {})
                found.add(keptlists.name(endpoints))
        return found

    def forget_list(self, name: str) -> None:
        """Look at the server list of this ConfigMap no more: whoever uses it next fetches it."""
        self._lists.forget(name)

    def _vpns(
        self, name: str
    ) -> tuple[piavpns.PiaVpn | None, tuple[piavpns.PiaVpn, ...], piavpns.Unreadable | None]:
        mine, others, invalid = None, [], None
        for body in self._cluster.list(kube.PIA_VPNS):
            try:
                vpn = piavpns.PiaVpn.from_body(body)
            except ValueError as error:
                if body["metadata"]["name"] == name:
                    invalid = piavpns.Unreadable.from_body(body, error)
                continue
            if vpn.name == name:
                mine = vpn
            else:
                others.append(vpn)
        return mine, tuple(others), invalid

    def _namespace_labels(self, vpn: piavpns.PiaVpn | None) -> dict[str, dict[str, str]]:
        if vpn is None or vpn.spec.allowed_namespaces is None:
            return {}
        found = (item["metadata"] for item in self._cluster.list(kube.NAMESPACES))
        return {metadata["name"]: metadata.get("labels") or {} for metadata in found}

    def _pods(
        self,
        name: str,
        vpn: piavpns.PiaVpn | None,
        services: tuple[vpnapps.VpnServiceContainer, ...],
    ) -> list[model.Object]:
        """Return the VPN's pods, and those of other VPNs that matter to it."""
        if vpn is None or vpn.status.network is None:
            # One that chooses its subnet keeps clear of all addresses in use.
            return self._cluster.list(kube.PODS, labels=names.LABEL_VPN)
        mine = self._cluster.list(kube.PODS, labels=f"{names.LABEL_VPN}={name}")
        if selector := confined.moved(mine, name, services):
            return mine + self._cluster.list(kube.PODS, labels=selector)
        return mine

    def _services(self, name: str) -> tuple[vpnapps.VpnServiceContainer, ...]:
        services = []
        fields = f"spec.vpnRef.name={name}"  # selectable by the CRD
        for body in self._cluster.list(kube.VPN_SERVICE_CONTAINERS, fields=fields):
            try:
                service = vpnapps.VpnServiceContainer.from_body(body)
            except ValueError as error:
                metadata = body["metadata"]
                subject = logs.about("VpnServiceContainer", metadata["name"], metadata["namespace"])
                log.warning("cannot be read: %s", error, extra=subject)
                continue
            if not service.deleting:
                services.append(service)
        return tuple(services)

    def _with_gateway(self, seen: model.Observed, vpn: piavpns.PiaVpn) -> model.Observed:
        namespace = self._settings.namespace
        ref = vpn.spec.credentials_secret_ref
        found = accounts.read_credentials(
            ref, namespace, self._cluster.get(kube.SECRETS, ref.name, namespace)
        )
        gateways = siblings.Gateways(self._cluster, namespace)
        known = gateways.accounts.get(ref.account_name)
        related = siblings.of(vpn, found, seen.other_vpns, gateways)
        objects = made.keyed(kube.CONFIG_MAPS, gateways.config_maps) | made.of_gateway(
            self._cluster, vpn, namespace, port_forwarding=seen.port_forwarding
        )
        return dataclasses.replace(
            seen,
            credentials=found,
            account=accounts.read(known),
            server_list=self._lists.state(vpn.spec.endpoints),
            gateway_pod=gateways.pods.get(vpn.name),
            gateway_refusal=refusals.of_missing_gateway(
                self._cluster,
                objects.get(("statefulsets", namespace, names.gateway_name(vpn.name))),
            )
            if vpn.name not in gateways.pods
            else "",
            gateway_config=gateways.configs.get(vpn.name),
            has_http_proxy=("services", namespace, names.http_proxy_name(vpn.name)) in objects,
            made={**seen.made, **objects},
            siblings=tuple(
                dataclasses.replace(each, server_list=self._lists.state(each.vpn.spec.endpoints))
                for each in related
            ),
            **self._dedicated_ip(vpn.spec),
            held=gateways.held_without({vpn.name, *(other.name for other in seen.other_vpns)}),
        )

    def _dedicated_ip(self, spec: piavpns.PiaVpnSpec) -> dict[str, Any]:
        """Return the fields of what is seen that are about the dedicated IP."""
        ref, namespace = spec.dedicated_ip_secret_ref, self._settings.namespace
        if ref is None:
            return {}
        secret = self._cluster.get(kube.SECRETS, ref.name, namespace)
        token = accounts.read_dedicated_token(ref, namespace, secret)
        if not isinstance(token, str):
            return {"dedicated_token": token}
        state = self._dedicated.state(spec.endpoints, token)
        return {"dedicated_token": token, "dedicated": state}


def _suspended(services: Iterable[vpnapps.VpnServiceContainer]) -> set[model.ServiceKey]:
    return {network.key(service) for service in services if service.spec.suspend}
