"""Which servers a gateway is told of, and what to ask PIA for. Pure."""

from __future__ import annotations

import dataclasses

from piavpn.api import codec, gateway_config, piavpns
from piavpn.api.conditions import PiaVpnCondition, Status, find
from piavpn.controller import assignment, model
from piavpn.controller.reasons import Reason
from piavpn.pia import locations, serverlist
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
        verdict = _failed(known.failure) if known.failure else unknown
        return Choice(verdict, _kept(seen), errands, regions)
    if errands.measure:
        verdict = model.Verdict(Status.UNKNOWN, Reason.MEASURING)
        return Choice(verdict, _kept(seen), errands, regions)
    tunnels = 1 + len(seen.siblings)
    found = _candidates(spec, known, tunnels, port_forwarding=seen.port_forwarding)
    if not found.servers:
        verdict = _with_age(known, _found(known.servers, spec, found, ()))
        return Choice(verdict, _kept(seen), errands, regions)
    servers, share = _share(seen, vpn, found.servers)
    verdict = _found(known.servers, spec, found, servers) if servers else _in_use(found, share)
    return Choice(_with_age(known, verdict), servers, errands, regions, waits_for=share.held_by)


def _custom(seen: model.Observed, vpn: piavpns.PiaVpn) -> Choice:
    wanted = _custom_servers(vpn.spec)
    servers, share = _share(seen, vpn, wanted)
    message = f"{len(servers)} of the {len(wanted)} in spec.endpoints.wireguardServers"
    verdict = model.Verdict(Status.TRUE, Reason.SERVERS_FOUND, message)
    if not servers:
        verdict = _in_use(locations.Candidates(wanted, (), ()), share)
    regions = (gateway_config.CUSTOM_REGION,)
    return Choice(verdict, servers, model.Errands(), regions, waits_for=share.held_by)


def _custom_servers(spec: piavpns.PiaVpnSpec) -> _Servers:
    return tuple(
        gateway_config.Server(gateway_config.CUSTOM_REGION, server.cn, server.address, server.port)
        for server in spec.endpoints.wireguard_servers
    )


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
    return Choice(_dedicated_trouble(known), kept, errands, regions)


def _dedicated_trouble(known: model.DedicatedState) -> model.Verdict:
    if known.found is not None and known.found.status == "expired":
        message = "the dedicated IP has expired: renew it at PIA, or remove dedicatedIpSecretRef"
        return model.Verdict(Status.FALSE, Reason.DEDICATED_IP_EXPIRED, message)
    if known.found is not None:
        message = (
            f"PIA says of the dedicated IP's token: {known.found.status[:32]}: correct it in the "
            "Secret of spec.dedicatedIpSecretRef"
        )
        return model.Verdict(Status.FALSE, Reason.DEDICATED_IP_INVALID, message)
    if known.failure is not None:
        return _failed(known.failure)
    return model.Verdict(Status.UNKNOWN, Reason.LOOKING_UP)


def _look_up(seen: model.Observed) -> model.Errands:
    known, account = seen.dedicated, seen.account
    due = known.refresh_time is None or model.is_due(known.refresh_time, seen.now)
    failure_over = known.failure is None or model.is_due(known.failure.retry_time, seen.now)
    able = account is not None and account.has_token
    return model.Errands(look_up=due and failure_over and able)


def _share(
    seen: model.Observed, vpn: piavpns.PiaVpn, wanted: _Servers
) -> tuple[_Servers, assignment.Share]:
    """Return those of the servers that may be used now, and how they were shared."""
    share = assignment.share(_mine(seen, vpn, wanted), _others(seen))
    by_address = {server.address: server for server in wanted}
    return tuple(by_address[address] for address in share.addresses), share


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
    """Return the regions where PIA forwards no port, while an app wants one."""
    listed, regions = seen.server_list.servers, _regions_of(spec)
    if listed is None or not seen.port_forwarding:
        return ()
    without = [region.id for region in listed.regions if not region.port_forward]
    return tuple(sorted(region for region in without if not regions or region in regions))


def _errands(seen: model.Observed, spec: piavpns.PiaVpnSpec) -> model.Errands:
    known = seen.server_list
    due = known.refresh_time is None or model.is_due(known.refresh_time, seen.now)
    failure_over = known.failure is None or model.is_due(known.failure.retry_time, seen.now)
    automatic = spec.server_location == piavpns.AUTO_LOCATION
    measure = automatic and known.servers is not None and known.latencies is None
    return model.Errands(fetch_list=due and failure_over, measure=measure)


def _candidates(
    spec: piavpns.PiaVpnSpec, known: model.ServerListState, tunnels: int, *, port_forwarding: bool
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


def _kept(seen: model.Observed) -> _Servers:
    """Return the servers that the gateway has, but for those that another tunnel ends at.

    What takes an account's token is of no use to a dedicated IP's, and the other way round.
    """
    config, vpn = seen.gateway_config, seen.vpn
    dedicated = vpn is not None and vpn.spec.dedicated_ip_secret_ref is not None
    if config is None or config.dedicated_ip is not dedicated:
        return ()
    taken = {other.session for other in _others(seen)}
    return tuple(server for server in config.servers if server.address not in taken)


def _mine(seen: model.Observed, vpn: piavpns.PiaVpn, found: _Servers) -> assignment.Party:
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
    wanted = _custom_servers(vpn.spec) or held
    if vpn.spec.dedicated_ip_secret_ref is not None:
        wanted = held
    elif known.servers is not None and not vpn.spec.endpoints.wireguard_servers:
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


def _session(vpn: piavpns.PiaVpn) -> assignment.Address | None:
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
    spec: piavpns.PiaVpnSpec,
    found: locations.Candidates,
    servers: _Servers,
) -> model.Verdict:
    where = _regions(servers)
    if found.unknown:
        message = "; ".join(locations.explain_unknown(known, wanted) for wanted in found.unknown)
        meanwhile = f" (meanwhile: {where})" if where else ""
        return model.Verdict(Status.FALSE, Reason.UNKNOWN_LOCATION, message + meanwhile)
    if servers:
        message = f"{len(servers)} servers in {where}"
        if len(servers) == 1:
            message = (
                f"1 server in {where}: name another region in spec.fallbackLocations, so that "
                "renewals need not break connections"
            )
        return model.Verdict(Status.TRUE, Reason.SERVERS_FOUND, message)
    if spec.server_location == piavpns.AUTO_LOCATION:
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
