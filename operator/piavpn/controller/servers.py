"""Which servers a gateway is told of, and what to ask PIA for. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress

from piavpn.api import codec, gateway_config, types
from piavpn.api.conditions import Status
from piavpn.controller import model
from piavpn.controller.reasons import Reason
from piavpn.pia import locations, serverlist


def decide(
    seen: model.Observed, spec: types.PiaVpnSpec
) -> tuple[model.Verdict, tuple[gateway_config.Server, ...], model.Errands]:
    """Return the verdict, the servers to try in order, and what to ask PIA for."""
    known = seen.server_list
    due = known.refresh_time is None or seen.now >= known.refresh_time
    failure_over = known.failure is None or seen.now >= known.failure.retry_time
    fetch = model.Errands(fetch_list=due and failure_over)
    if known.servers is None:
        if known.failure is not None:
            return _failed(known.failure), (), fetch
        return model.Verdict(Status.UNKNOWN, Reason.FETCHING_LIST), (), fetch
    if spec.server_location == types.AUTO_LOCATION and known.latencies is None:
        errands = dataclasses.replace(fetch, measure=True)
        return model.Verdict(Status.UNKNOWN, Reason.MEASURING), (), errands
    found = locations.candidates(
        known.servers,
        location=spec.server_location,
        fallbacks=spec.fallback_locations,
        latencies=known.latencies or {},
    )
    taken = in_use(seen)
    servers = tuple(server for server in found.servers if server.address not in taken)
    if found.servers and not servers:
        return _all_in_use(found), (), fetch
    return _with_age(known, _found(known.servers, spec, found)), servers, fetch


def in_use(seen: model.Observed) -> set[ipaddress.IPv4Address]:
    """Return the servers at which other tunnels of the same account end.

    A second key of an account at one server address kills the first.
    """
    account = seen.vpn.spec.credentials_secret_ref.name if seen.vpn is not None else None
    return {
        other.status.session.server_address
        for other in seen.other_vpns
        if other.status.session is not None and other.spec.credentials_secret_ref.name == account
    }


def _all_in_use(found: locations.Candidates) -> model.Verdict:
    return model.Verdict(
        Status.FALSE,
        Reason.SERVERS_IN_USE,
        f"every listed server of {_regions(found)} carries another PiaVpn of this account "
        "already: name more regions in spec.fallbackLocations",
    )


def _found(
    known: serverlist.ServerList, spec: types.PiaVpnSpec, found: locations.Candidates
) -> model.Verdict:
    regions = _regions(found)
    if found.unknown:
        message = "; ".join(locations.explain_unknown(known, wanted) for wanted in found.unknown)
        meanwhile = f" (meanwhile: {regions})" if regions else ""
        return model.Verdict(Status.FALSE, Reason.UNKNOWN_LOCATION, message + meanwhile)
    if found.servers:
        message = f"{len(found.servers)} servers in {regions}"
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


def _regions(found: locations.Candidates) -> str:
    return ", ".join(dict.fromkeys(server.region for server in found.servers))


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


def regions(spec: types.PiaVpnSpec) -> tuple[str, ...]:
    """Return the ids of the regions that a session may be in; empty for any."""
    if spec.server_location == types.AUTO_LOCATION:
        return ()
    return tuple(dict.fromkeys((spec.server_location, *spec.fallback_locations)))
