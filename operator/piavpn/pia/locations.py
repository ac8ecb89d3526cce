"""Which servers a location means, in the order in which to try them. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
from collections.abc import Collection, Iterable, Iterator, Mapping

from piavpn.api import gateway_config, types
from piavpn.pia import serverlist

AUTO_REGIONS = 3
"""How many of the nearest regions `auto` stands for."""
_NEAR = 3
_CUTOFF = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """The servers to try, and what was asked for in vain."""

    servers: tuple[gateway_config.Server, ...]
    unknown: tuple[str, ...]
    """Locations that the list does not have: see `explain_unknown`."""
    unavailable: tuple[str, ...]
    """Locations that are in the list, or `auto`, and give no server now."""


def candidates(
    server_list: serverlist.ServerList,
    *,
    location: str,
    fallbacks: Iterable[str] = (),
    latencies: Mapping[ipaddress.IPv4Address, float],
    exclude: Collection[ipaddress.IPv4Address] = frozenset(),
) -> Candidates:
    """Return the servers of `location`, then those of the fallbacks, each address once.

    Args:
        server_list: the verified list.
        location: a region's id, or `auto`: the nearest that PIA offers for it, no `geo` one.
        fallbacks: further region ids, in order.
        latencies: seconds to an address, for `auto`; servers that did not answer are absent.
        exclude: addresses to leave out, such as those of the account's other tunnels.
    """
    usable = tuple(_without(region, exclude) for region in server_list.regions)
    chosen: dict[ipaddress.IPv4Address, gateway_config.Server] = {}
    unknown, unavailable = [], []
    for wanted in dict.fromkeys((location, *fallbacks)):
        regions = _regions(usable, wanted, latencies)
        if regions is None:
            unknown.append(wanted)
        elif not any(region.servers for region in regions):
            unavailable.append(wanted)
        for server in _servers(regions or (), server_list.port):
            chosen.setdefault(server.address, server)
    return Candidates(tuple(chosen.values()), tuple(unknown), tuple(unavailable))


def measurable(server_list: serverlist.ServerList) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the addresses whose latency `auto` wants to know, each once."""
    servers = (
        server for region in server_list.regions if _auto(region) for server in region.servers
    )
    return tuple(dict.fromkeys(server.address for server in servers))


def near(server_list: serverlist.ServerList, location: str) -> tuple[str, ...]:
    """Return ids of regions that may be meant, the likeliest first.

    A region whose id or name differs in case alone is certain and stands alone.
    """
    wanted = location.casefold()
    names: dict[str, str] = {}
    for region in server_list.regions:
        for name in (region.id, region.name):
            names.setdefault(name.casefold(), region.id)
    if wanted in names:
        return (names[wanted],)
    matches = difflib.get_close_matches(wanted, names, n=2 * _NEAR, cutoff=_CUTOFF)
    return tuple(dict.fromkeys(names[match] for match in matches))[:_NEAR]


def explain_unknown(server_list: serverlist.ServerList, location: str) -> str:
    """Return a sentence for a condition about a location that the list does not have."""
    hints = near(server_list, location)
    hint = f"; did you mean {' or '.join(hints)}?" if hints else ""
    return f"PIA's server list has no region {location!r}{hint}"


def _without(
    region: serverlist.Region, exclude: Collection[ipaddress.IPv4Address]
) -> serverlist.Region:
    """Return the region with the servers that may be used now."""
    servers = () if region.offline else region.servers
    return dataclasses.replace(
        region, servers=tuple(server for server in servers if server.address not in exclude)
    )


def _regions(
    regions: Iterable[serverlist.Region],
    wanted: str,
    latencies: Mapping[ipaddress.IPv4Address, float],
) -> tuple[serverlist.Region, ...] | None:
    """Return the regions that are meant, each with its servers in order; None when unknown."""
    if wanted == types.AUTO_LOCATION:
        return _nearest(regions, latencies)
    return tuple(region for region in regions if region.id == wanted) or None


def _nearest(
    regions: Iterable[serverlist.Region], latencies: Mapping[ipaddress.IPv4Address, float]
) -> tuple[serverlist.Region, ...]:
    """Return the regions nearest by their nearest server; those with the same one count once."""

    def distance(server: serverlist.WireGuardServer) -> float:
        return latencies.get(server.address, math.inf)

    nearest: dict[ipaddress.IPv4Address, tuple[serverlist.Region, float]] = {}
    for region in filter(_auto, regions):
        servers = tuple(sorted(region.servers, key=distance))
        if servers and math.isfinite(distance(servers[0])):
            ordered = dataclasses.replace(region, servers=servers)
            nearest.setdefault(servers[0].address, (ordered, distance(servers[0])))
    ranked = sorted(nearest.values(), key=lambda pair: pair[1])
    return tuple(region for region, _ in ranked[:AUTO_REGIONS])


def _auto(region: serverlist.Region) -> bool:
    return region.auto_region and not region.geo and not region.offline


def _servers(regions: Iterable[serverlist.Region], port: int) -> Iterator[gateway_config.Server]:
    for region in regions:
        for server in region.servers:
            yield gateway_config.Server(region.id, server.cn, server.address, port)
