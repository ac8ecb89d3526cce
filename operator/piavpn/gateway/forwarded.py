"""The forwarded port's way to its receiver: elements of the gateway's map. Pure: data and text."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable

from piavpn.api.gateway_config import PortForwarding
from piavpn.api.protocols import Protocol

MAP, EXITS = "inet piavpn forwarded", "inet piavpn exits"


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """What arrives for this port at the tunnel's end goes to this port of this address."""

    protocol: Protocol
    port: int
    address: ipaddress.IPv4Address
    target: int


def ways(wanted: PortForwarding | None, ports: Iterable[int]) -> frozenset[Way]:
    """Return the ways to the receiver for each of the ports that PIA may send it."""
    if wanted is None:
        return frozenset()
    return frozenset(
        Way(protocol, port, wanted.address, wanted.port or port)
        for port in ports
        for protocol in wanted.protocol.protocols
    )


def update(wanted: Collection[Way], exits: Collection[ipaddress.IPv4Address]) -> str:
    """Return the transaction after which the map has these elements and no others.

    Args:
        wanted: the elements.
        exits: addresses under which the Internet has the port: apps that dial those are led to the
            receiver, too, for PIA need not send back what came from us.
    """
    lines = [f"flush map {MAP}", f"flush set {EXITS}"]
    if wanted and exits:
        listed = ", ".join(str(address) for address in sorted(exits))
        lines.append(f"add element {EXITS} {{ {listed} }}")
    for way in sorted(wanted, key=lambda way: (way.port, way.protocol)):
        key = f"{way.protocol.lower()} . {way.port}"
        lines.append(f"add element {MAP} {{ {key} : {way.address} . {way.target} }}")
    return "\n".join(lines) + "\n"
