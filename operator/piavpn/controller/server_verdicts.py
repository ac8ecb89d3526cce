"""What is said of the servers that were found for a PiaVpn, or of why there are none. Pure."""

from __future__ import annotations

from piavpn.api import codec, gateway_config, piavpns
from piavpn.api.conditions import Status
from piavpn.controller import assignment, model
from piavpn.controller.reasons import Reason
from piavpn.pia import locations, serverlist

_Servers = tuple[gateway_config.Server, ...]


def of_found(
    known: serverlist.ServerList,
    spec: piavpns.PiaVpnSpec,
    found: locations.Candidates,
    servers: _Servers,
) -> model.Verdict:
    """Say what PIA's list has for the spec, `servers` being what may be used of it now."""
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


def in_use(found: locations.Candidates, share: assignment.Share) -> model.Verdict:
    """Say so where other PiaVpns have all servers that were found."""
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


def dedicated_trouble(known: model.DedicatedState) -> model.Verdict:
    """Say why a dedicated IP has no server."""
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
        return failed(known.failure)
    return model.Verdict(Status.UNKNOWN, Reason.LOOKING_UP)


def with_age(known: model.ServerListState, verdict: model.Verdict) -> model.Verdict:
    """Say so where the list is the last good one, because no newer one can be had."""
    if known.failure is None or known.list_time is None:
        return verdict
    served = codec.format_time(known.list_time)
    message = f"{verdict.message}; list of {served}; fetch fails: {known.failure.message}"
    reason = Reason.KEPT_LIST if verdict.holds else verdict.reason
    return model.Verdict(verdict.status, reason, message)


def failed(failure: model.Failure) -> model.Verdict:
    """Say why PIA gave no answer."""
    return model.Verdict(Status.FALSE, failure.reason, failure.message)


def _regions(servers: _Servers) -> str:
    return ", ".join(dict.fromkeys(server.region for server in servers))
