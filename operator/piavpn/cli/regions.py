"""`kubectl piavpn regions`: where a tunnel could end, the nearest first."""

from __future__ import annotations

import argparse
import dataclasses

from piavpn import keptlists
from piavpn.api import piavpns
from piavpn.api.conditions import PiaVpnCondition, find
from piavpn.cli import cluster, commands, errors
from piavpn.cli.output import Output
from piavpn.kube import CONFIG_MAPS, Cluster
from piavpn.pia import serverlist

HEADINGS = ("REGION", "NAME", "COUNTRY", "LATENCY", "PORT FORWARDING", "GEO", "USE")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A region of PIA's list, and what it is to a tunnel."""

    region: serverlist.Region
    latency: int | None
    """Milliseconds; None where it was not measured."""
    use: str


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "regions", run, "list PIA's regions, with measured latency and port forwarding"
    )
    parser.add_argument("vpn", nargs="?", help="PiaVpn; may be left out where there is one alone")


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Show the regions of the list that the tunnel's operator keeps."""
    vpn = cluster.chosen_vpn(api, options.vpn)
    found = rows(vpn, _servers(api, vpn, options.operator_namespace))
    if out.as_json:
        out.json([_as_json(row) for row in found])
        return errors.GOOD
    out.table(HEADINGS, [_cells(row) for row in found])
    if not vpn.status.servers:
        out.note("latencies are measured where serverLocation is auto")
    return errors.GOOD


def rows(vpn: piavpns.PiaVpn, servers: serverlist.ServerList) -> list[Row]:
    """Return all regions: the measured ones first, by latency; the others by their id."""
    measured = {each.region: each.latency_milliseconds for each in vpn.status.servers}
    made = [Row(each, measured.get(each.id), _use(vpn, each)) for each in servers.regions]
    return sorted(made, key=lambda row: (row.latency is None, row.latency or 0, row.region.id))


def _servers(api: Cluster, vpn: piavpns.PiaVpn, namespace: str) -> serverlist.ServerList:
    endpoints = vpn.spec.endpoints
    found = api.get(CONFIG_MAPS, keptlists.name(endpoints), namespace)
    kept = keptlists.read(found, endpoints.server_list_public_key) if found else None
    if kept is None:
        known = find(vpn.status.conditions, PiaVpnCondition.SERVERS_KNOWN)
        why = f"{known.reason}: {known.message}" if known else "the operator has said nothing yet"
        raise errors.CommandError(
            f"the operator keeps no server list for PiaVpn {vpn.name} in namespace {namespace}"
            f" ({why})"
        )
    return kept.servers


def _use(vpn: piavpns.PiaVpn, region: serverlist.Region) -> str:
    session, spec = vpn.status.session, vpn.spec
    uses = ["now"] if session and session.region == region.id else []
    if region.id == spec.server_location:
        uses.append("serverLocation")
    if region.id in spec.fallback_locations:
        uses.append(f"fallback {spec.fallback_locations.index(region.id) + 1}")
    if region.offline:
        uses.append("offline")
    return ", ".join(uses)


def _cells(row: Row) -> tuple[object, ...]:
    region = row.region
    return (
        region.id,
        region.name,
        region.country,
        None if row.latency is None else f"{row.latency} ms",
        _yes(region.port_forward),
        _yes(region.geo),
        row.use,
    )


def _yes(holds: bool) -> str:  # noqa: FBT001 - a word for it
    return "yes" if holds else "no"


def _as_json(row: Row) -> dict[str, object]:
    region = row.region
    return {
        "region": region.id,
        "name": region.name,
        "country": region.country,
        "latencyMilliseconds": row.latency,
        "portForwarding": region.port_forward,
        "geo": region.geo,
        "offline": region.offline,
        "servers": len(region.servers),
        "use": row.use,
    }
