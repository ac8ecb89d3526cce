"""Which servers a location means, in the order in which to try them. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
from collections.abc import Iterable, Iterator, Mapping

from piavpn.api import gateway_config, piavpns
from piavpn.pia import serverlist

AUTO_REGIONS = 3
"""How many of the nearest regions `auto` stands for, to a tunnel that has them for itself."""
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


def candidates(  # noqa: PLR0913 - what a choice depends on
    server_list: serverlist.ServerList,
    *,
    location: str,
    fallbacks: Iterable[str] = (),
    latencies: Mapping[ipaddress.IPv4Address, float],
    port_forwarding: bool = False,
    auto_regions: int = AUTO_REGIONS,
) -> Candidates:
    """Return the servers of `location`, then those of the fallbacks, each address once.

    Args:
        server_list: the verified list.
        location: a region's id, or `auto`: the nearest that PIA offers for it, no `geo` one.
        fallbacks: further region ids, in order.
        latencies: seconds to an address, for `auto`; servers that did not answer are absent.
        port_forwarding: whether a port is to be forwarded: `auto` stands for regions that do so
            alone, and fallbacks that do not are left out. A named location is the user's will.
        auto_regions: how many of the nearest regions `auto` stands for.
    """
    usable = tuple(_in_service(region) for region in server_list.regions)
    chosen: dict[ipaddress.IPv4Address, gateway_config.Server] = {}
    unknown, unavailable = [], []
    for wanted in dict.fromkeys((location, *fallbacks)):
        if wanted == piavpns.AUTO_LOCATION:
            nearest = ranked(server_list, latencies, port_forwarding=port_forwarding)
            regions: tuple[serverlist.Region, ...] | None
            regions = tuple(region for region, _ in nearest[:auto_regions])
        else:
            regions = tuple(region for region in usable if region.id == wanted) or None
            if port_forwarding and wanted != location and regions is not None:
                regions = tuple(region for region in regions if region.port_forward)
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


def ranked(
    server_list: serverlist.ServerList,
    latencies: Mapping[ipaddress.IPv4Address, float],
    *,
    port_forwarding: bool = False,
) -> tuple[tuple[serverlist.Region, float], ...]:
    """Return the regions of `auto`, the nearest first, with seconds to their nearest server.

    Each has its servers in order. Regions with the same nearest server count once, those without
    an answer not at all.
    """

    def distance(server: serverlist.WireGuardServer) -> float:
        return latencies.get(server.address, math.inf)

    nearest: dict[ipaddress.IPv4Address, tuple[serverlist.Region, float]] = {}
    for region in filter(_auto, server_list.regions):
        servers = tuple(sorted(region.servers, key=distance))
        fits = region.port_forward or not port_forwarding
        if fits and servers and math.isfinite(distance(servers[0])):
            ordered = dataclasses.replace(region, servers=servers)
            nearest.setdefault(servers[0].address, (ordered, distance(servers[0])))
    return tuple(sorted(nearest.values(), key=lambda pair: pair[1]))


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


def _in_service(region: serverlist.Region) -> serverlist.Region:
    """Return the region with the servers that may be used now."""
    return dataclasses.replace(region, servers=()) if region.offline else region


def _auto(region: serverlist.Region) -> bool:
    return region.auto_region and not region.geo and not region.offline


def _servers(regions: Iterable[serverlist.Region], port: int) -> Iterator[gateway_config.Server]:
    for region in regions:
        for server in region.servers:
            yield gateway_config.Server(region.id, server.cn, server.address, port)
