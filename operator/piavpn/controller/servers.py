"""Which servers a gateway is told of, and what to ask PIA for. Pure."""

from __future__ import annotations

import dataclasses

from piavpn.api import codec, gateway_config, types
from piavpn.api.conditions import PiaVpnCondition, Status, find
from piavpn.controller import assignment, model
from piavpn.controller.reasons import Reason
from piavpn.pia import locations, serverlist

MEASURED_SHOWN = 10
_Servers = tuple[gateway_config.Server, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What a pass makes of the server list."""

    verdict: model.Verdict
    servers: _Servers
    """In the order in which to try them; no other tunnel of the account has one of them."""
    errands: model.Errands
    waits_for: frozenset[str] = frozenset()
    """Other PiaVpns that have servers which are to be this one's."""


def decide(seen: model.Observed, vpn: types.PiaVpn) -> Choice:
    """Return the verdict, the servers, and what to ask PIA for.

    Without news of servers the gateway keeps those that it has.
    """
    known, spec = seen.server_list, vpn.spec
    errands = _errands(seen, spec)
    if known.servers is None:
        unknown = model.Verdict(Status.UNKNOWN, Reason.FETCHING_LIST)
        return _keeping(seen, _failed(known.failure) if known.failure else unknown, errands)
    if errands.measure:
        return _keeping(seen, model.Verdict(Status.UNKNOWN, Reason.MEASURING), errands)
    tunnels = 1 + len(seen.siblings)
    found = _candidates(spec, known, tunnels, port_forwarding=seen.port_forwarding)
    if not found.servers:
        verdict = _with_age(known, _found(known.servers, spec, found, ()))
        return _keeping(seen, verdict, errands)
    share = assignment.share(_mine(seen, vpn, found.servers), _others(seen))
    by_address = {server.address: server for server in found.servers}
    servers = tuple(by_address[address] for address in share.addresses)
    verdict = _found(known.servers, spec, found, servers) if servers else _in_use(found, share)
    return Choice(_with_age(known, verdict), servers, errands, share.held_by)


def measured(seen: model.Observed, spec: types.PiaVpnSpec) -> tuple[types.MeasuredRegion, ...]:
    """Return the nearest regions as `status.servers` shows them; none unless `auto` asks."""
    known = seen.server_list
    if spec.server_location != types.AUTO_LOCATION or known.servers is None:
        return ()
    ranked = locations.ranked(
        known.servers, known.latencies or {}, port_forwarding=seen.port_forwarding
    )
    return tuple(
        types.MeasuredRegion(region.id, round(seconds * 1000))
        for region, seconds in ranked[:MEASURED_SHOWN]
    )


def regions(spec: types.PiaVpnSpec) -> tuple[str, ...]:
    """Return the ids of the regions that a session may be in; empty for any."""
    if spec.server_location == types.AUTO_LOCATION:
        return ()
    return tuple(dict.fromkeys((spec.server_location, *spec.fallback_locations)))


def _errands(seen: model.Observed, spec: types.PiaVpnSpec) -> model.Errands:
    known = seen.server_list
    due = known.refresh_time is None or seen.now >= known.refresh_time
    failure_over = known.failure is None or seen.now >= known.failure.retry_time
    automatic = spec.server_location == types.AUTO_LOCATION
    measure = automatic and known.servers is not None and known.latencies is None
    return model.Errands(fetch_list=due and failure_over, measure=measure)


def _candidates(
    spec: types.PiaVpnSpec, known: model.ServerListState, tunnels: int, *, port_forwarding: bool
) -> locations.Candidates:
    """Return what a tunnel may use that shares its account's servers with so many `tunnels`."""
    assert known.servers is not None  # noqa: S101 - the callers looked
    return locations.candidates(
        known.servers,
        location=spec.server_location,
        fallbacks=spec.fallback_locations,
        latencies=known.latencies or {},
        port_forwarding=port_forwarding,
        auto_regions=locations.AUTO_REGIONS * tunnels,
    )


def _keeping(seen: model.Observed, verdict: model.Verdict, errands: model.Errands) -> Choice:
    """Return the servers that the gateway has, but for those that another tunnel ends at."""
    held = seen.gateway_config.servers if seen.gateway_config is not None else ()
    taken = {other.session for other in _others(seen)}
    return Choice(verdict, tuple(s for s in held if s.address not in taken), errands)


def _mine(seen: model.Observed, vpn: types.PiaVpn, found: _Servers) -> assignment.Party:
    return assignment.Party(
        name=vpn.name,
        wants=tuple(server.address for server in found),
        listed=_listed(seen.gateway_config),
        session=_session(vpn),
    )


def _others(seen: model.Observed) -> tuple[assignment.Party, ...]:
    tunnels = 1 + len(seen.siblings)
    parties = tuple(_party(each, tunnels) for each in seen.siblings if _takes_part(each))
    return (*parties, *(assignment.Party(name, (), held) for name, held in seen.held.items()))


def _takes_part(sibling: model.Sibling) -> bool:
    accepted = find(sibling.vpn.status.conditions, PiaVpnCondition.ACCEPTED)
    return sibling.config is not None or (accepted is not None and accepted.status is Status.TRUE)


def _party(sibling: model.Sibling, tunnels: int) -> assignment.Party:
    vpn, known, config = sibling.vpn, sibling.server_list, sibling.config
    held = config.servers if config is not None else ()
    wanted = held
    if known.servers is not None:
        found = _candidates(vpn.spec, known, tunnels, port_forwarding=sibling.port_forwarding)
        wanted = found.servers or held
    return assignment.Party(
        name=vpn.name,
        wants=tuple(server.address for server in wanted),
        listed=_listed(config),
        session=_session(vpn),
        known=frozenset(vpn.status.candidate_servers) if sibling.running else frozenset(),
    )


def _listed(config: gateway_config.GatewayConfig | None) -> frozenset[assignment.Address]:
    return frozenset(server.address for server in config.servers) if config else frozenset()


def _session(vpn: types.PiaVpn) -> assignment.Address | None:
    return vpn.status.session.server_address if vpn.status.session is not None else None


def _in_use(found: locations.Candidates, share: assignment.Share) -> model.Verdict:
    where = _regions(found.servers)
    if share.held_by:
        message = f"waiting for PiaVpn {' and '.join(sorted(share.held_by))} to leave a server of"
        return model.Verdict(Status.UNKNOWN, Reason.SERVERS_IN_USE, f"{message} {where}")
    return model.Verdict(
        Status.FALSE,
        Reason.SERVERS_IN_USE,
        f"every listed server of {where} carries another PiaVpn of this account "
        "already: name more regions in spec.fallbackLocations",
    )


def _found(
    known: serverlist.ServerList,
    spec: types.PiaVpnSpec,
    found: locations.Candidates,
    servers: _Servers,
) -> model.Verdict:
    where = _regions(servers)
    if found.unknown:
        message = "; ".join(locations.explain_unknown(known, wanted) for wanted in found.unknown)
        meanwhile = f" (meanwhile: {where})" if where else ""
        return model.Verdict(Status.FALSE, Reason.UNKNOWN_LOCATION, message + meanwhile)
    if servers:
        count = "1 server" if len(servers) == 1 else f"{len(servers)} servers"
        message = f"{count} in {where}"
        return model.Verdict(Status.TRUE, Reason.SERVERS_FOUND, message)
    if spec.server_location == types.AUTO_LOCATION:
        return model.Verdict(
            Status.FALSE,
            Reason.NO_SERVER_ANSWERED,
            f"no WireGuard server answered on TCP port {known.port}: check that the operator's "
            "pod may reach the Internet, or name a region in spec.serverLocation",
        )
    return model.Verdict(
        Status.FALSE,
        Reason.NO_SERVER_LISTED,
        f"PIA lists no server for {', '.join(found.unavailable)} now: name another region in "
        "spec.serverLocation or spec.fallbackLocations, or wait for the next list",
    )


def _regions(servers: _Servers) -> str:
    return ", ".join(dict.fromkeys(server.region for server in servers))


def _with_age(known: model.ServerListState, verdict: model.Verdict) -> model.Verdict:
    """Say so where the list is the last good one, because no newer one can be had."""
    if known.failure is None or known.list_time is None:
        return verdict
    served = codec.format_time(known.list_time)
    message = f"{verdict.message}; list of {served}; fetch fails: {known.failure.message}"
    reason = Reason.KEPT_LIST if verdict.holds else verdict.reason
    return model.Verdict(verdict.status, reason, message)


def _failed(failure: model.Failure) -> model.Verdict:
    return model.Verdict(Status.FALSE, failure.reason, failure.message)
