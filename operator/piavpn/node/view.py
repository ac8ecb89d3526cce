"""What the API says, kept up to date by watches: read at any time, with a bell for every change."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from piavpn import kube
from piavpn.api import names, node_keys
from piavpn.api.conditions import Condition
from piavpn.api.piavpns import NodeEncryption, PiaVpn
from piavpn.api.vpnapps import VpnServiceContainer
from piavpn.node import readers
from piavpn.node.model import Owner
from piavpn.node.plans import RemotePod, Snapshot

log = logging.getLogger(__name__)

T = TypeVar("T")


class Shelf(Generic[T]):
    """The objects of one watch, as `read` understands them; None from it leaves an object out."""

    def __init__(self, read: Callable[[kube.Object], T | None], bell: threading.Event) -> None:
        self.synced = threading.Event()
        self._read = read
        self._bell = bell
        self._lock = threading.Lock()
        self._items: dict[str, T] = {}

    def items(self) -> list[T]:
        """Return all that is there."""
        with self._lock:
            return list(self._items.values())

    def take(self, change: str, item: kube.Object) -> None:
        """Take one event of the watch."""
        if change == "SYNCED":
            self.synced.set()
        else:
            self._put(change, item)
        self._bell.set()

    def _put(self, change: str, item: kube.Object) -> None:
        metadata = item["metadata"]
        try:
            value = None if change == "DELETED" else self._read(item)
        except (ValueError, KeyError) as error:
            log.warning("%s %s cannot be used: %s", item.get("kind"), metadata["name"], error)
            value = None
        with self._lock:
            if value is None:
                self._items.pop(metadata["uid"], None)
            else:
                self._items[metadata["uid"]] = value


class View:
    """The API as this node sees it: a shelf for each kind of object."""

    def __init__(
        self,
        *,
        node: str,
        namespace: str,
        cluster_cidrs: Sequence[ipaddress.IPv4Network] = (),
    ) -> None:
        """Make an empty view.

        Args:
            node: name of this node.
            namespace: the operator's, where gateways and their ConfigMaps are.
            cluster_cidrs: pod and service CIDRs; where empty the API is asked.
        """
        self.bell = threading.Event()
        self._threads: list[threading.Thread] = []
        self._given_cidrs = tuple(cluster_cidrs)
        self.vpns = Shelf(PiaVpn.from_body, self.bell)
        self.services = Shelf(VpnServiceContainer.from_body, self.bell)
        self.service_pods = Shelf(readers.read_service_pod, self.bell)
        self.gateway_pods = Shelf(readers.read_gateway_pod, self.bell)
        self.remote_service_pods = Shelf(readers.read_service_pod, self.bell)
        self.remote_gateway_pods = Shelf(readers.read_gateway_pod, self.bell)
        self.configs = Shelf(readers.read_config, self.bell)
        self.nodes = Shelf(readers.read_node, self.bell)
        self.node_keys = Shelf(node_keys.from_config_map, self.bell)
        self.service_cidrs = Shelf(readers.read_service_cidrs, self.bell)
        self._node = node
        here, elsewhere = f"spec.nodeName={node}", f"spec.nodeName!={node}"
        service = {"labels": names.LABEL_VPN}
        own = {"namespace": namespace}
        gateway = own | {"labels": names.LABEL_GATEWAY}
        self._needed: list[tuple[Shelf[Any], kube.Kind, dict[str, str]]] = [
            (self.vpns, kube.PIA_VPNS, {}),
            (self.services, kube.VPN_SERVICE_CONTAINERS, {}),
            (self.service_pods, kube.PODS, service | {"fields": here}),
            (self.gateway_pods, kube.PODS, gateway | {"fields": here}),
            (self.remote_service_pods, kube.PODS, service | {"fields": elsewhere}),
            (self.remote_gateway_pods, kube.PODS, gateway | {"fields": elsewhere}),
            (self.configs, kube.CONFIG_MAPS, gateway),
            (self.nodes, kube.NODES, {}),
            # Were they not waited for, an agent would forget nodes that it knew before its restart.
            (self.node_keys, kube.CONFIG_MAPS, own | {"labels": names.LABEL_NODE}),
        ]
        self._sources = list(self._needed)
        if not cluster_cidrs:
            self._sources.append((self.service_cidrs, kube.SERVICE_CIDRS, {}))

    @property
    def alive(self) -> bool:
        """Whether every watch still runs: one that ended would leave us with an old truth."""
        return all(thread.is_alive() for thread in self._threads)

    def start(self, cluster: kube.Cluster, stop: threading.Event) -> None:
        """Watch in threads of their own until `stop` is set."""
        for shelf, kind, selection in self._sources:
            thread = threading.Thread(
                target=_follow,
                args=(shelf, cluster, kind, selection, stop),
                name=f"watch {kind.plural}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    @property
    def complete(self) -> bool:
        """Whether each kind that every decision needs was listed once."""
        return all(shelf.synced.is_set() for shelf, _, _ in self._needed)

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        pods = [*self.service_pods.items(), *self.gateway_pods.items()]
        pods.sort(key=_age)
        nodes = {node.name: node.addresses[0] for node in self.nodes.items() if node.addresses}
        return Snapshot(
            vpns={vpn.name: vpn for vpn in self.vpns.items()},
            pods=tuple(seen.pod for seen in pods),
            servers={config.vpn: config.servers for config in self.configs.items()},
            cluster=self._cluster(),
            service_cidrs=self._service_cidrs(),
            services={
                Owner(service.name, service.namespace): service.status.address
                for service in self.services.items()
            },
            bypass=self._bypass(),
            nodes=tuple(sorted({one for node in self.nodes.items() for one in node.addresses})),
            node=nodes.get(self._node),
            elsewhere=self._elsewhere(nodes),
            node_keys={
                nodes[key.node]: key.public_key
                for key in self.node_keys.items()
                if key.node in nodes
            },
        )

    def owners(self) -> dict[Owner, str]:
        """Return the UIDs of what pods are for."""
        vpns = {Owner(vpn.name): vpn.uid for vpn in self.vpns.items()}
        services = {Owner(it.name, it.namespace): it.uid for it in self.services.items()}
        pods = {it.pod.owner: it.pod.uid for it in self.service_pods.items() if it.pod.owner.is_pod}
        return vpns | services | pods

    def told(self) -> dict[str, tuple[Condition, ...]]:
        """Return what the API says of this node's pods by us, by UID."""
        seen = [*self.service_pods.items(), *self.gateway_pods.items()]
        return {it.pod.uid: it.told for it in seen}

    def node_uid(self, name: str) -> str | None:
        """Return the UID of a Node; None where it is not known."""
        return next((node.uid for node in self.nodes.items() if node.name == name), None)

    def node_key(self, name: str) -> str | None:
        """Return the public key that a node has published; None where it has none."""
        known = self.node_keys.items()
        return next((key.public_key for key in known if key.node == name), None)

    @property
    def wants_node_keys(self) -> bool:
        """Whether a PiaVpn, of whatever nodes, is encrypted between nodes."""
        return any(
            vpn.spec.network.node_encryption is NodeEncryption.WIREGUARD
            for vpn in self.vpns.items()
        )

    def _elsewhere(self, nodes: Mapping[str, ipaddress.IPv4Address]) -> tuple[RemotePod, ...]:
        """Return other nodes' pods, the likeliest holders of an address first.

        The pod of a node that was lost stays, ending, while another is made. Else the oldest has
        an app's address, as on one node; and a gateway's successor has come to stay.
        """
        gateways = sorted(self.remote_gateway_pods.items(), key=_age, reverse=True)
        pods = [*gateways, *sorted(self.remote_service_pods.items(), key=_age)]
        pods.sort(key=lambda seen: seen.pod.ending)
        return tuple(RemotePod(it.pod, nodes[it.node]) for it in pods if it.node in nodes)

    def _bypass(self) -> dict[Owner, tuple[ipaddress.IPv4Network, ...]]:
        vpns = {Owner(vpn.name): vpn.spec.bypass_cidrs for vpn in self.vpns.items()}
        services = {
            Owner(it.name, it.namespace): it.spec.bypass_cidrs for it in self.services.items()
        }
        return vpns | services

    def _service_cidrs(self) -> tuple[ipaddress.IPv4Network, ...]:
        return tuple(cidr for cidrs in self.service_cidrs.items() for cidr in cidrs)

    def _cluster(self) -> tuple[ipaddress.IPv4Network, ...]:
        """Return pod and service CIDRs; half of them would cut pods off and is no answer."""
        if self._given_cidrs:
            return tuple(ipaddress.collapse_addresses(self._given_cidrs))
        if not (self.nodes.synced.is_set() and self.service_cidrs.synced.is_set()):
            return ()
        pods = [cidr for node in self.nodes.items() for cidr in node.pod_cidrs]
        services = list(self._service_cidrs())
        if not pods or not services:
            return ()
        return tuple(ipaddress.collapse_addresses(pods + services))


def _age(seen: readers.SeenPod) -> tuple[datetime, str]:
    return seen.created, seen.pod.uid


def _follow(
    shelf: Shelf[Any],
    cluster: kube.Cluster,
    kind: kube.Kind,
    selection: dict[str, str],
    stop: threading.Event,
) -> None:
    for change, item in cluster.watch(kind, stop=stop, **selection):
        shelf.take(change, item)
