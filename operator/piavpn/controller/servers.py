"""Which servers a gateway is told of, and what to ask PIA for. Pure."""

from __future__ import annotations

import dataclasses

from piavpn.api import codec, gateway_config, piavpns
from piavpn.api.conditions import Status
from piavpn.controller import model, server_parties, server_verdicts
from piavpn.controller.reasons import Reason
from piavpn.pia import locations
from piavpn.pia.serverlist import DEFAULT_PORT

MEASURED_SHOWN = 10
_Servers = tuple[gateway_config.Server, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What a pass makes of the server list."""

    verdict: model.Verdict
    servers: _Servers
    """In the order in which to try them; no other tunnel of the account has one of them."""
    errands: model.Errands
    regions: tuple[str, ...]
    """Where a session may be; empty for anywhere."""
    avoided: tuple[str, ...] = ()
    """Where it may not stay, though it may be anywhere."""
    without_port: tuple[str, ...] = ()
    """Where PIA forwards no port, of the regions where it may be."""
    waits_for: frozenset[str] = frozenset()
    """Other PiaVpns that have servers which are to be this one's."""


def decide(seen: model.Observed, vpn: piavpns.PiaVpn) -> Choice:
    """Return the verdict, the servers, and what to ask PIA for.

    Without news of servers the gateway keeps those that it has.
    """
    if vpn.spec.dedicated_ip_secret_ref is not None:
        return _dedicated(seen)
    if vpn.spec.endpoints.wireguard_servers:
        return _custom(seen, vpn)
    without_port = _without_port(seen, vpn.spec)
    automatic = vpn.spec.server_location == piavpns.AUTO_LOCATION
    return dataclasses.replace(
        _listed_by_pia(seen, vpn),
        avoided=without_port if automatic else (),
        without_port=without_port,
    )


def _listed_by_pia(seen: model.Observed, vpn: piavpns.PiaVpn) -> Choice:
    known, spec = seen.server_list, vpn.spec
    errands, regions = _errands(seen, spec), _regions_of(spec)
    if known.servers is None:
        unknown = model.Verdict(Status.UNKNOWN, Reason.FETCHING_LIST)
        verdict = server_verdicts.failed(known.failure) if known.failure else unknown
        return Choice(verdict, _kept(seen), errands, regions)
    if errands.measure:
        verdict = model.Verdict(Status.UNKNOWN, Reason.MEASURING)
        return Choice(verdict, _kept(seen), errands, regions)
    tunnels = 1 + len(seen.siblings)
    found = server_parties.candidates(spec, known, tunnels, port_forwarding=seen.port_forwarding)
    if not found.servers:
        verdict = server_verdicts.of_found(known.servers, spec, found, ())
        verdict = server_verdicts.with_age(known, verdict)
        return Choice(verdict, _kept(seen), errands, regions)
    servers, share = server_parties.share(seen, vpn, found.servers)
    if servers:
        verdict = server_verdicts.of_found(known.servers, spec, found, servers)
    else:
        verdict = server_verdicts.in_use(found, share)
    verdict = server_verdicts.with_age(known, verdict)
    return Choice(verdict, servers, errands, regions, waits_for=share.held_by)


def _custom(seen: model.Observed, vpn: piavpns.PiaVpn) -> Choice:
    wanted = server_parties.custom_servers(vpn.spec)
    servers, share = server_parties.share(seen, vpn, wanted)
    message = f"{len(servers)} of the {len(wanted)} in spec.endpoints.wireguardServers"
    verdict = model.Verdict(Status.TRUE, Reason.SERVERS_FOUND, message)
    if not servers:
        verdict = server_verdicts.in_use(locations.Candidates(wanted, (), ()), share)
    regions = (gateway_config.CUSTOM_REGION,)
    return Choice(verdict, servers, model.Errands(), regions, waits_for=share.held_by)


def _dedicated(seen: model.Observed) -> Choice:
    """Return the one server of a dedicated IP: nobody else's, and no other is taken for it."""
    known, errands = seen.dedicated, _look_up(seen)
    found = known.found
    if found is not None and found.address is not None:
        region = f"dedicated-{found.region}"
        server = gateway_config.Server(region, found.cn, found.address, DEFAULT_PORT)
        until = f", until {codec.format_time(found.expires)}" if found.expires else ""
        message = f"dedicated IP {found.address} at {found.cn} in {found.region}{until}"
        verdict = model.Verdict(Status.TRUE, Reason.SERVERS_FOUND, message)
        return Choice(verdict, (server,), errands, (region,))
    kept = _kept(seen)
    regions = tuple(dict.fromkeys(server.region for server in kept))
    return Choice(server_verdicts.dedicated_trouble(known), kept, errands, regions)


def _look_up(seen: model.Observed) -> model.Errands:
    known, account = seen.dedicated, seen.account
    due = known.refresh_time is None or model.is_due(known.refresh_time, seen.now)
    failure_over = known.failure is None or model.is_due(known.failure.retry_time, seen.now)
    able = account is not None and account.has_token
    return model.Errands(look_up=due and failure_over and able)


def measured(seen: model.Observed, spec: piavpns.PiaVpnSpec) -> tuple[piavpns.MeasuredRegion, ...]:
    """Return the nearest regions as `status.servers` shows them; none unless `auto` asks."""
    known = seen.server_list
    fixed = spec.dedicated_ip_secret_ref is not None or spec.endpoints.wireguard_servers
    if spec.server_location != piavpns.AUTO_LOCATION or known.servers is None or fixed:
        return ()
    ranked = locations.ranked(
        known.servers, known.latencies or {}, port_forwarding=seen.port_forwarding
    )
    return tuple(
        piavpns.MeasuredRegion(region.id, round(seconds * 1000))
        for region, seconds in ranked[:MEASURED_SHOWN]
    )


def _regions_of(spec: piavpns.PiaVpnSpec) -> tuple[str, ...]:
    if spec.server_location == piavpns.AUTO_LOCATION:
        return ()
    return tuple(dict.fromkeys((spec.server_location, *spec.fallback_locations)))


def _without_port(seen: model.Observed, spec: piavpns.PiaVpnSpec) -> tuple[str, ...]:
    """Return the regions where PIA forwards no port, while an app wants one.

    Without a list the gateway keeps those that it was told.
    """
    if not seen.port_forwarding:
        return ()
    listed, before, regions = seen.server_list.servers, seen.gateway_config, _regions_of(spec)
    if listed is not None:
        without = [region.id for region in listed.regions if not region.port_forward]
    else:
        without = list(before.without_port) if before is not None else []
    return tuple(sorted(region for region in without if not regions or region in regions))


def _errands(seen: model.Observed, spec: piavpns.PiaVpnSpec) -> model.Errands:
    known = seen.server_list
    due = known.refresh_time is None or model.is_due(known.refresh_time, seen.now)
    failure_over = known.failure is None or model.is_due(known.failure.retry_time, seen.now)
    automatic = spec.server_location == piavpns.AUTO_LOCATION
    measure = automatic and known.servers is not None and known.latencies is None
    return model.Errands(fetch_list=due and failure_over, measure=measure)


def _kept(seen: model.Observed) -> _Servers:
    """Return the servers that the gateway has, but for those that another tunnel ends at.

    What takes an account's token is of no use to a dedicated IP's, and the other way round.
    """
    config, vpn = seen.gateway_config, seen.vpn
    dedicated = vpn is not None and vpn.spec.dedicated_ip_secret_ref is not None
    if config is None or config.dedicated_ip is not dedicated:
        return ()
    taken = {other.session for other in server_parties.others(seen)}
    return tuple(server for server in config.servers if server.address not in taken)
