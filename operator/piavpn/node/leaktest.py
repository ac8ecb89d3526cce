"""The leak test: what is tried from inside a service's pod, and what comes of it. Pure.

It aims at documentation addresses (RFC 5737, RFC 3849): were a packet to leave, it would tell
nobody anything. Questions to the cluster's DNS aim at an address of each of its networks that
nobody has. The target says which attempt a packet is of.

Two things judge. A tap behind the lock sees what is handed to any link. And each packet that was
sent must have been counted by a rule that drops it: a TCP connection that is only not answered
proves nothing.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from piavpn.api import names
from piavpn.node import lock

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

OUTSIDE_IPV4 = ipaddress.IPv4Network("192.0.2.0/24")
OUTSIDE_IPV6 = ipaddress.IPv6Network("2001:db8::/32")
HARMLESS_LINKS = ("lo", names.POD_LINK)
"""What is handed to these stays in the pod, or goes to the gateway."""

_DISCARD, _HTTPS, _DNS, _DNS_OVER_TLS = 9, 443, 53, 853


class Protocol(enum.StrEnum):
    """What an attempt sends."""

    UDP = "UDP"
    TCP = "TCP"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A link of the pod by which packets could leave."""

    name: str
    address: ipaddress.IPv4Address | None


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One packet to send."""

    what: str
    """In words."""
    protocol: Protocol
    target: Address
    port: int
    link: str | None = None
    """What its socket is bound to, as torrent clients do it; None leaves the way to the routes."""
    source: ipaddress.IPv4Address | None = None
    """The address that its socket is bound to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A packet that was handed to a link behind the lock, or a question by ARP for its target."""

    link: str
    target: Address
    port: int | None
    """None where the target was only asked for, to be sent to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What came of trying it all."""

    tried: tuple[Attempt, ...]
    sent: tuple[Attempt, ...]
    """Those that came as far as the packet filter."""
    seen: tuple[Seen, ...]
    ways: Mapping[Address, str]
    """By target: the link that the routes name for it; left out where no route leads there."""
    counted: int | None
    """Packets that the lock dropped as probes meanwhile; None where there is no lock."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run means."""

    tried: int
    leaks: tuple[str, ...]
    """The ways by which something got out, in words."""
    uncounted: int
    """Packets that neither left nor were counted: a lock that was just replaced counts anew."""


def targets(cluster: Iterable[ipaddress.IPv4Network]) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the addresses of the cluster that are asked for names."""
    # The last but one: an address for a host, and the last that any plugin would give away.
    return tuple(network[-min(2, network.num_addresses)] for network in cluster)


def attempts(
    links: Iterable[Link], cluster: Iterable[ipaddress.IPv4Network]
) -> tuple[Attempt, ...]:
    """Return what to try.

    Args:
        links: all by which packets could leave, but `HARMLESS_LINKS`.
        cluster: pod and service CIDRs.
    """
    by_links = (attempt for link in links for attempt in _by_link(link))
    return (*_by_route(), *by_links, *_to_cluster_dns(cluster))


def judge(run: Run) -> Outcome:
    """Return what the run means."""
    leaks = [leak for seen in run.seen if (leak := _leak(seen, run.tried))]
    leaks += [
        f"the route to {target} leads out by {link}"
        for target, link in run.ways.items()
        if link not in HARMLESS_LINKS
    ]
    if run.counted is None:
        leaks.append("there is no lock")
    return Outcome(
        tried=len(run.tried),
        leaks=tuple(dict.fromkeys(leaks)),
        uncounted=max(0, len(run.sent) - (run.counted or 0)),
    )


def _leak(seen: Seen, tried: Iterable[Attempt]) -> str | None:
    if seen.link in HARMLESS_LINKS:
        return None
    for attempt in tried:
        if attempt.target == seen.target and seen.port in (None, attempt.port):
            return f"{attempt.what} left by {seen.link}"
    is_the_clusters = (
        seen.target.version == OUTSIDE_IPV4.version and seen.target not in OUTSIDE_IPV4
    )
    return None if is_the_clusters else f"a packet to {seen.target} left by {seen.link}"


def counted(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> int | None:
    """Return how many packets the lock dropped as probes, from its counters; None without lock."""
    if before is None or after is None:
        return None
    probes = [name for name in after if name.startswith(lock.PROBES)]
    return sum(max(0, after[name] - before.get(name, 0)) for name in probes)


def _by_route() -> Iterator[Attempt]:
    yield Attempt("UDP by the default route", Protocol.UDP, OUTSIDE_IPV4[1], _DISCARD)
    yield Attempt("TCP by the default route", Protocol.TCP, OUTSIDE_IPV4[2], _HTTPS)
    yield Attempt("IPv6 by the default route", Protocol.UDP, OUTSIDE_IPV6[1], _DISCARD)


def _by_link(link: Link) -> Iterator[Attempt]:
    for number, (what, protocol, port) in enumerate(
        (
            ("UDP", Protocol.UDP, _DISCARD),
            ("TCP", Protocol.TCP, _HTTPS),
            ("DNS by UDP", Protocol.UDP, _DNS),
            ("DNS by TCP", Protocol.TCP, _DNS),
            ("DNS over TLS", Protocol.TCP, _DNS_OVER_TLS),
            ("DNS over DTLS", Protocol.UDP, _DNS_OVER_TLS),
        ),
        start=3,
    ):
        words = f"{what} bound to a link"
        yield Attempt(words, protocol, OUTSIDE_IPV4[number], port, link=link.name)
    words = "IPv6 bound to a link"
    yield Attempt(words, Protocol.UDP, OUTSIDE_IPV6[2], _DISCARD, link=link.name)
    if link.address is None:
        return
    for number, protocol in enumerate((Protocol.UDP, Protocol.TCP), start=9):
        words = f"{protocol} bound to a link's address"
        yield Attempt(words, protocol, OUTSIDE_IPV4[number], _DISCARD, source=link.address)


def _to_cluster_dns(cluster: Iterable[ipaddress.IPv4Network]) -> Iterator[Attempt]:
    for target in targets(cluster):
        for port in (_DNS, _DNS_OVER_TLS):
            for protocol in Protocol:
                yield Attempt("DNS to the cluster", protocol, target, port)
