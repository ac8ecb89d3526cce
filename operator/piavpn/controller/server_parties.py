"""Who wants which servers and has them, for `assignment` to share them out. Pure."""

from __future__ import annotations

from piavpn.api import gateway_config, piavpns
from piavpn.api.conditions import PiaVpnCondition, Status, find
from piavpn.controller import assignment, model
from piavpn.pia import locations

_Servers = tuple[gateway_config.Server, ...]


def share(
    seen: model.Observed, vpn: piavpns.PiaVpn, wanted: _Servers
) -> tuple[_Servers, assignment.Share]:
    """Return those of the servers that may be used now, and how they were shared."""
    result = assignment.share(_mine(seen, vpn, wanted), others(seen))
    by_address = {server.address: server for server in wanted}
    return tuple(by_address[address] for address in result.addresses), result


def custom_servers(spec: piavpns.PiaVpnSpec) -> _Servers:
    """Return the servers that the PiaVpn names itself."""
    return tuple(
        gateway_config.Server(gateway_config.CUSTOM_REGION, server.cn, server.address, server.port)
        for server in spec.endpoints.wireguard_servers
    )


def candidates(
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


def others(seen: model.Observed) -> tuple[assignment.Party, ...]:
    """Return the other PiaVpns that have, or may have, a share in the servers."""
    tunnels = 1 + len(seen.siblings)
    parties = tuple(_party(each, tunnels) for each in seen.siblings if _takes_part(each))
    return (*parties, *(assignment.Party(name, (), held) for name, held in seen.held.items()))


def _mine(seen: model.Observed, vpn: piavpns.PiaVpn, found: _Servers) -> assignment.Party:
    return assignment.Party(
        name=vpn.name,
        wants=tuple(server.address for server in found),
        listed=_listed(seen.gateway_config),
        session=_session(vpn),
    )


def _takes_part(sibling: model.Sibling) -> bool:
    accepted = find(sibling.vpn.status.conditions, PiaVpnCondition.ACCEPTED)
    return sibling.config is not None or (accepted is not None and accepted.status is Status.TRUE)


def _party(sibling: model.Sibling, tunnels: int) -> assignment.Party:
    vpn, known, config = sibling.vpn, sibling.server_list, sibling.config
    held = config.servers if config is not None else ()
    wanted = custom_servers(vpn.spec) or held
    if vpn.spec.dedicated_ip_secret_ref is not None:
        wanted = held
    elif known.servers is not None and not vpn.spec.endpoints.wireguard_servers:
        found = candidates(vpn.spec, known, tunnels, port_forwarding=sibling.port_forwarding)
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
