"""The addresses of the cluster itself: of its pods and Services, its nodes and its API server."""

from __future__ import annotations

import dataclasses
import ipaddress
import time
from collections.abc import Iterable, Iterator

from piavpn import kube
from piavpn.controller import model

_SECONDS = 60.0
"""Between looks: they change with the cluster's nodes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What is known of them."""

    cidrs: tuple[ipaddress.IPv4Network, ...] = ()
    """Of pods and Services; empty while unknown."""
    nodes: tuple[ipaddress.IPv4Address, ...] = ()
    api: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    """Of the API server's own Service."""


class Ranges:
    """Asks for them, but not for each pass."""

    def __init__(
        self, cluster: kube.Cluster, given: tuple[ipaddress.IPv4Network, ...] = ()
    ) -> None:
        """Know nothing yet.

        Args:
            cluster: the API.
            given: the pod and service CIDRs; where empty the API is asked.
        """
        self._cluster = cluster
        self._given = given
        self._known = Known()
        self._until = 0.0

    def look(self) -> Known:
        """Return what is known, at most a minute old.

        Raises:
            kube.KubeError: the API server did not answer.
        """
        if time.monotonic() >= self._until:
            nodes = self._cluster.list(kube.NODES)
            self._known = Known(
                cidrs=self._given or self._discovered(nodes),
                nodes=tuple(sorted(set(_internal_addresses(nodes)))),
                api=_address(self._cluster.get(kube.SERVICES, "kubernetes", "default")),
            )
            self._until = time.monotonic() + _SECONDS
        return self._known

    def _discovered(self, nodes: list[model.Object]) -> tuple[ipaddress.IPv4Network, ...]:
        """Return the ranges of pods and of Services; nothing unless both are to be found."""
        pods = [cidr for node in nodes for cidr in node["spec"].get("podCIDRs") or []]
        services: list[str] = []
        try:
            for item in self._cluster.list(kube.SERVICE_CIDRS):
                services += item["spec"].get("cidrs") or []
        except kube.KubeError as error:
            if not error.absent:  # before Kubernetes 1.33 there is no such kind
                raise
        halves = _ipv4(pods), _ipv4(services)
        return halves[0] + halves[1] if all(halves) else ()


def _address(
    service: model.Object | None,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    found = service["spec"].get("clusterIP") if service is not None else None
    return ipaddress.ip_address(found) if found else None


def _ipv4(cidrs: Iterable[str]) -> tuple[ipaddress.IPv4Network, ...]:
    parsed = (ipaddress.ip_network(cidr) for cidr in dict.fromkeys(cidrs))
    return tuple(cidr for cidr in parsed if isinstance(cidr, ipaddress.IPv4Network))


def _internal_addresses(nodes: Iterable[model.Object]) -> Iterator[ipaddress.IPv4Address]:
    for node in nodes:
        for told in (node.get("status") or {}).get("addresses") or []:
            if told["type"] == "InternalIP" and ":" not in told["address"]:
                yield ipaddress.IPv4Address(told["address"])
