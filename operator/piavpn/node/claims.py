"""Which pod holds which address on a VPN's bridge. Pure.

Whoever may make pods writes labels and annotations as they like, but no status; and the operator
writes a VpnServiceContainer's status before it makes the pod.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from piavpn.api import names
from piavpn.api.conditions import PodCondition
from piavpn.node import reasons
from piavpn.node.decide import Problem
from piavpn.node.model import Network, Owner, Pod, Role


class Claims:
    """Tells pods' addresses, and remembers those that are held: whoever comes first has it."""

    def __init__(self, services: Mapping[Owner, ipaddress.IPv4Address | None]) -> None:
        """Make one for one snapshot.

        Args:
            services: the VpnServiceContainers, each with the address that the operator gave it.
        """
        self._services = services
        self._of_services = frozenset(services.values())
        self._held: set[tuple[str, ipaddress.IPv4Address]] = set()

    def hold(self, pod: Pod, address: ipaddress.IPv4Address) -> None:
        """Remember that the pod holds the address on its VPN's bridge."""
        self._held.add((pod.vpn, address))

    def address(self, pod: Pod, network: Network) -> ipaddress.IPv4Address | Problem:
        """Return the pod's address, or why it has none."""
        address = self._claimed(pod, network)
        if isinstance(address, Problem) or (pod.vpn, address) not in self._held:
            return address
        return Problem(
            reasons.ADDRESS_IN_USE,
            f"an older pod on this node still holds {address}: it goes on when that one has ended",
        )

    def _claimed(self, pod: Pod, network: Network) -> ipaddress.IPv4Address | Problem:
        if pod.role is Role.GATEWAY:
            return network.gateway
        if pod.owner.is_pod:
            return self._of_labelled(pod, network)
        return self._of_service(pod, network)

    def _of_service(self, pod: Pod, network: Network) -> ipaddress.IPv4Address | Problem:
        """Return the pod's address: it has it by its VpnServiceContainer's status."""
        address = pod.address
        if address is None or not _is_for_services(address, network):
            return Problem(
                reasons.ADDRESS_UNKNOWN,
                f"the pod's annotation names no address of {network.subnet} that an app may have:"
                " delete the pod to have it made anew",
            )
        service = f"VpnServiceContainer {pod.owner.namespace}/{pod.owner.name}"
        if pod.owner not in self._services:
            return Problem(
                reasons.ADDRESS_UNKNOWN,
                f"the pod's label names {service}, which does not exist: delete the pod, or remove"
                f" its label {names.LABEL_SERVICE}",
            )
        held = self._services[pod.owner]
        if held != address:
            return Problem(
                reasons.ADDRESS_UNKNOWN,
                f"the pod's annotation says {address}, but {service} holds {held or 'no address'}:"
                " delete the pod to have it made anew",
            )
        return address

    def _of_labelled(self, pod: Pod, network: Network) -> ipaddress.IPv4Address | Problem:
        """Return the pod's address: it stands on the pod, where the operator alone writes it."""
        address = pod.address
        if address is None or not _is_for_services(address, network):
            said = (
                f"{address}, which is none of {network.subnet} for apps" if address else "none yet"
            )
            return Problem(
                reasons.ADDRESS_UNKNOWN,
                f"the operator gives the pod its address, and it has {said}: see the pod's"
                f" condition {PodCondition.ACCEPTED}",
            )
        if address in self._of_services:
            return Problem(
                reasons.ADDRESS_IN_USE,
                f"a VpnServiceContainer holds {address}, too: delete the pod to have it made anew",
            )
        return address


def _is_for_services(address: ipaddress.IPv4Address, network: Network) -> bool:
    subnet = network.subnet
    reserved = (subnet.network_address, subnet.broadcast_address, network.host, network.gateway)
    return address in subnet and address not in reserved
