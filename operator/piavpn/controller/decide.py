"""What a pass makes of what it saw. Pure: no clock, no network, no configuration but its input."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import timedelta

from piavpn.api import conditions, gateway_config, types
from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import model, network, readiness
from piavpn.controller.reasons import Reason
from piavpn.pia import errors, locations, serverlist

RESYNC_SECONDS = 300.0
_PODS_SECONDS = 15.0
"""Until the next look at a VPN that waits for other VPNs' pods: they end without a word to it."""
RELOGIN_AFTER = timedelta(minutes=15)
"""How soon a token that PIA rejected may be followed by yet another login: locked accounts get
tokens that no server takes, and logins are what PIA limits."""


def decide(seen: model.Observed) -> model.Decision:
    """Return what this pass is to do and to report."""
    if seen.vpn is None:
        return _without_vpn(seen)
    chosen = network.choose_subnet(
        seen.vpn, seen.other_vpns, seen.cluster_cidrs, seen.pods_elsewhere
    )
    accepted = _accepted(seen, chosen)
    authenticated, login = _authenticated(seen)
    servers_known, servers, errands = _servers(seen, seen.vpn.spec)
    net = seen.vpn.status.network
    if seen.cluster_cidrs and isinstance(chosen, ipaddress.IPv4Network):
        net = network.of_subnet(seen.name, chosen)
    verdicts = {
        PiaVpnCondition.ACCEPTED: accepted,
        PiaVpnCondition.AUTHENTICATED: authenticated,
        PiaVpnCondition.SERVERS_KNOWN: servers_known,
    }
    verdicts[PiaVpnCondition.READY] = readiness.of_vpn(seen.vpn, verdicts, seen.gateway_pod)
    errands = dataclasses.replace(errands, login=login)
    waits_for_pods = isinstance(chosen, model.Verdict) and bool(seen.pods_elsewhere)
    return model.Decision(
        network=net,
        gateway=_gateway(seen, net, servers) if accepted.holds else None,
        verdicts=verdicts,
        services=_services(seen, net, accepted, verdicts[PiaVpnCondition.READY]),
        errands=errands if accepted.holds else model.Errands(),
        requeue_seconds=_requeue(seen, waits_for_pods=waits_for_pods),
    )


def _without_vpn(seen: model.Observed) -> model.Decision:
    """Refuse the services of a VPN that is not there or cannot be read."""
    if seen.invalid is not None:
        refusal = model.Verdict(Status.FALSE, Reason.INVALID, seen.invalid.message)
        verdicts = {PiaVpnCondition.ACCEPTED: refusal, PiaVpnCondition.READY: refusal}
        service = model.Verdict(
            Status.FALSE, Reason.VPN_NOT_ACCEPTED, f"PiaVpn {seen.name}: {seen.invalid.message}"
        )
    else:
        verdicts = {}
        service = model.Verdict(
            Status.FALSE,
            Reason.VPN_NOT_FOUND,
            f"there is no PiaVpn named {seen.name}: create it, or correct spec.vpnRef.name",
        )
    return model.Decision(
        network=None,
        gateway=None,
        verdicts=verdicts,
        services=tuple(
            model.ServiceDecision(s, s.status.address, service, service) for s in seen.services
        ),
        errands=model.Errands(),
        requeue_seconds=RESYNC_SECONDS,
    )


def _accepted(seen: model.Observed, chosen: object) -> model.Verdict:
    if not seen.cluster_cidrs:
        return model.Verdict(
            Status.FALSE,
            Reason.CLUSTER_CIDRS_UNKNOWN,
            "neither the nodes' podCIDRs with the ServiceCIDR API nor PIAVPN_CLUSTER_CIDRS tell "
            "which addresses are the cluster's: set PIAVPN_CLUSTER_CIDRS of the operator's "
            "Deployment and the node agent's DaemonSet",
        )
    if isinstance(chosen, model.Verdict):
        return chosen
    if isinstance(seen.credentials, model.CredentialsProblem):
        return model.Verdict(Status.FALSE, seen.credentials.reason, seen.credentials.message)
    return model.Verdict(Status.TRUE, Reason.ACCEPTED)


def _authenticated(seen: model.Observed) -> tuple[model.Verdict, bool]:
    """Return the verdict, and whether to log in now."""
    if not isinstance(seen.credentials, model.Credentials):
        waiting = "waiting for the credentials Secret: see condition Accepted"
        return model.Verdict(Status.UNKNOWN, Reason.WAITING_FOR_CREDENTIALS, waiting), False
    account = seen.account
    if account is None or account.fingerprint != seen.credentials.fingerprint:
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN), True
    if account.failure is not None:
        return _failed(account.failure), seen.now >= account.failure.retry_time
    if not account.has_token:
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN), True
    if _token_rejected(seen, account):
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN, "PIA rejected the token"), True
    return model.Verdict(Status.TRUE, Reason.LOGGED_IN), False


def _token_rejected(seen: model.Observed, account: model.Account) -> bool:
    """Tell whether the gateway's servers refuse this token, and another login is due."""
    assert seen.vpn is not None  # noqa: S101 - the caller looked
    registered = conditions.find(seen.vpn.status.conditions, PiaVpnCondition.REGISTERED)
    if registered is None or registered.reason != errors.TokenRejected.reason:
        return False
    issued, since = account.token_time, registered.last_transition_time
    if issued is None or since is None:
        return True
    return since > issued or seen.now - issued >= RELOGIN_AFTER


def _servers(
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
    taken = _servers_in_use(seen)
    servers = tuple(server for server in found.servers if server.address not in taken)
    if found.servers and not servers:
        return _all_in_use(found), (), fetch
    return _found(known.servers, spec, found), servers, fetch


def _servers_in_use(seen: model.Observed) -> set[ipaddress.IPv4Address]:
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


def _failed(failure: model.Failure) -> model.Verdict:
    return model.Verdict(Status.FALSE, failure.reason, failure.message)


def _gateway(
    seen: model.Observed,
    net: types.NetworkStatus | None,
    servers: tuple[gateway_config.Server, ...],
) -> gateway_config.GatewayConfig | None:
    """Return what the gateway is told; without news of servers it keeps those that it has."""
    if net is None or seen.vpn is None:
        return None
    if not servers and seen.gateway_config is not None:
        taken = _servers_in_use(seen)
        servers = tuple(s for s in seen.gateway_config.servers if s.address not in taken)
    return gateway_config.GatewayConfig(
        vpn=seen.name,
        network=net,
        cluster_domain=seen.settings.cluster_domain,
        servers=servers,
        locations=_locations(seen.vpn.spec),
        ca_bundle=seen.vpn.spec.endpoints.ca_bundle,
    )


def _locations(spec: types.PiaVpnSpec) -> tuple[str, ...]:
    if spec.server_location == types.AUTO_LOCATION:
        return ()
    return tuple(dict.fromkeys((spec.server_location, *spec.fallback_locations)))


def _services(
    seen: model.Observed,
    net: types.NetworkStatus | None,
    vpn_accepted: model.Verdict,
    vpn_ready: model.Verdict,
) -> tuple[model.ServiceDecision, ...]:
    if net is None or not vpn_accepted.holds:
        message = f"PiaVpn {seen.name} is not accepted: {vpn_accepted.message}"
        waiting = model.Verdict(Status.FALSE, Reason.VPN_NOT_ACCEPTED, message)
        return tuple(
            model.ServiceDecision(s, s.status.address, waiting, waiting) for s in seen.services
        )
    allocated = network.allocate(net, seen.services, _held_by_pods(seen))
    return tuple(_service(seen, s, allocated[network.key(s)], vpn_ready) for s in seen.services)


def _service(
    seen: model.Observed,
    service: types.VpnServiceContainer,
    allocated: ipaddress.IPv4Address | model.Verdict,
    vpn_ready: model.Verdict,
) -> model.ServiceDecision:
    if network.key(service) in seen.foreign:
        allocated = model.Verdict(
            Status.FALSE,
            Reason.NAME_TAKEN,
            f"{seen.foreign[network.key(service)]} of this name is not this app's: delete it, or "
            "give the VpnServiceContainer another name",
        )
    if isinstance(allocated, model.Verdict):
        return model.ServiceDecision(service, None, allocated, allocated)
    accepted = model.Verdict(Status.TRUE, Reason.ACCEPTED)
    pod = seen.service_pods.get(network.key(service))
    if readiness.is_misplaced(pod, seen.gateway_pod):
        ready = readiness.wrong_node(seen.gateway_pod)
        return model.ServiceDecision(service, allocated, accepted, ready, misplaced=True)
    ready = readiness.of_service(service, vpn_ready, pod)
    return model.ServiceDecision(service, allocated, accepted, ready)


def _held_by_pods(seen: model.Observed) -> dict[ipaddress.IPv4Address, model.ServiceKey]:
    held = {readiness.pod_address(pod): key for key, pod in seen.service_pods.items()}
    return {address: key for address, key in held.items() if address is not None}


def _requeue(seen: model.Observed, *, waits_for_pods: bool) -> float:
    """Return the seconds until something is due by the clock alone.

    What is overdue is under way, and wakes a pass when it ends; or it waits for a change.
    """
    failures = [f for f in (seen.server_list.failure, _failure_of(seen.account)) if f is not None]
    due = [failure.retry_time for failure in failures]
    if seen.server_list.refresh_time is not None:
        due.append(seen.server_list.refresh_time)
    waits = [(moment - seen.now).total_seconds() for moment in due]
    longest = _PODS_SECONDS if waits_for_pods else RESYNC_SECONDS
    return min([longest, *(wait for wait in waits if wait > 0)])


def _failure_of(account: model.Account | None) -> model.Failure | None:
    return account.failure if account is not None else None
