"""What a pass makes of what it saw. Pure: no clock, no network, no configuration but its input."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable

from piavpn.api import gateway_config, piavpns, vpnapps
from piavpn.api.conditions import PiaVpnCondition, ServiceCondition, Status
from piavpn.controller import (
    acceptance,
    authentication,
    build_mounts,
    build_service,
    labelled,
    mirror,
    model,
    network,
    portcheck,
    readiness,
    receiver,
    renewal,
    servers,
)
from piavpn.controller.reasons import Reason

RESYNC_SECONDS = 300.0
_PODS_SECONDS = 15.0
"""Until the next look at a VPN that waits for pods: others' end, and its own are refused, without
a word to it."""


def decide(seen: model.Observed) -> model.Decision:
    """Return what this pass is to do and to report."""
    if seen.vpn is None:
        return _without_vpn(seen)
    chosen = network.choose_subnet(
        seen.vpn, seen.other_vpns, seen.cluster_cidrs, seen.pods_elsewhere
    )
    accepted = acceptance.of_vpn(seen, chosen)
    authenticated, login = authentication.decide(seen)
    choice = servers.decide(seen, seen.vpn)
    net = seen.vpn.status.network
    if seen.cluster_cidrs and isinstance(chosen, ipaddress.IPv4Network):
        net = network.of_subnet(seen.name, chosen)
    verdicts = {
        PiaVpnCondition.ACCEPTED: accepted,
        PiaVpnCondition.AUTHENTICATED: authenticated,
        PiaVpnCondition.SERVERS_KNOWN: choice.verdict,
        PiaVpnCondition.GATEWAY_ATTACHED: mirror.of_gateway(seen.gateway_pod, seen.silent_agents),
    }
    ready = readiness.of_vpn(seen.vpn, verdicts, seen.gateway_pod, seen.gateway_refusal)
    lost = readiness.lost(seen.gateway_pod, seen.lost_nodes) if accepted.holds else None
    verdicts[PiaVpnCondition.READY] = lost or ready
    errands = dataclasses.replace(choice.errands, login=login)
    services = _services(seen, net, accepted, verdicts[PiaVpnCondition.READY])
    waits_for_pods = isinstance(chosen, model.Verdict) and bool(seen.pods_elsewhere)
    waits_for_pods = waits_for_pods or (accepted.holds and readiness.is_awaited(seen.gateway_pod))
    pods = labelled.decide(seen, net, _usable(seen.name, accepted), services)
    holder = receiver.choose(receiver.claims(services, pods), seen.gateway_config)
    gateway = _gateway(seen, seen.vpn, net, choice, holder) if accepted.holds else None
    return model.Decision(
        network=net,
        gateway=gateway,
        verdicts=verdicts,
        node=mirror.node_of(seen.gateway_pod),
        services=tuple(receiver.settled(service, holder, seen) for service in services),
        labelled=tuple(receiver.told(pod, holder, seen.name) for pod in pods),
        errands=errands if accepted.holds else model.Errands(),
        requeue_seconds=_requeue(seen, waits_for_pods=waits_for_pods or _awaited(seen, services)),
        wakes=_wakes(seen, gateway, choice),
        measured=servers.measured(seen, seen.vpn.spec),
        notices=(*renewal.notices(seen.vpn), *portcheck.notices(seen.vpn)),
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
            f"there is no PiaVpn named {seen.name}: create it, or name another one",
        )
    return model.Decision(
        network=None,
        gateway=None,
        verdicts=verdicts,
        node=None,
        services=_refused(seen, service),
        labelled=labelled.decide(seen, None, service, ()),
        errands=model.Errands(),
        requeue_seconds=RESYNC_SECONDS,
    )


def _gateway(
    seen: model.Observed,
    vpn: piavpns.PiaVpn,
    net: piavpns.NetworkStatus | None,
    choice: servers.Choice,
    holder: receiver.Claim | None,
) -> gateway_config.GatewayConfig | None:
    if net is None:
        return None
    before = seen.gateway_config
    return gateway_config.GatewayConfig(
        vpn=seen.name,
        network=net,
        cluster_domain=seen.settings.cluster_domain,
        servers=choice.servers,
        locations=choice.regions,
        avoided=choice.avoided,
        without_port=choice.without_port,
        ca_bundle=vpn.spec.endpoints.ca_bundle,
        renewal=renewal.decide(vpn, before.renewal if before is not None else None, seen.now),
        dedicated_ip=vpn.spec.dedicated_ip_secret_ref is not None,
        grace_seconds=int(vpn.spec.renewal.grace_period.total_seconds()),
        return_seconds=int(vpn.spec.return_after.total_seconds()),
        status_url=vpn.spec.endpoints.status_url,
        port_check_url=vpn.spec.endpoints.port_check_url,
        port_check_requested_time=portcheck.requested(vpn),
        public_ca_bundle=vpn.spec.endpoints.public_ca_bundle,
        dns_upstreams=vpn.spec.dns.upstreams,
        port_forwarding=receiver.forwarding(holder),
    )


def _wakes(
    seen: model.Observed, gateway: gateway_config.GatewayConfig | None, choice: servers.Choice
) -> frozenset[str]:
    """Return who has to let go of a server, and after a change of ours all who may want one."""
    before = seen.gateway_config.servers if seen.gateway_config is not None else None
    if gateway is not None and gateway.servers != before:
        return choice.waits_for | {sibling.vpn.name for sibling in seen.siblings}
    return choice.waits_for


def _services(
    seen: model.Observed,
    net: piavpns.NetworkStatus | None,
    vpn_accepted: model.Verdict,
    vpn_ready: model.Verdict,
) -> tuple[model.ServiceDecision, ...]:
    if net is None or not vpn_accepted.holds:
        return _refused(seen, _usable(seen.name, vpn_accepted))
    refused = {
        network.key(s): refusal
        for s in seen.services
        if (
            refusal := network.stranger(seen, s.namespace)
            or network.bypass_problem(s.spec.bypass_cidrs, net.subnet)
        )
    }
    allowed = [s for s in seen.services if network.key(s) not in refused]
    allocated = network.allocate(net, allowed, _held_by_pods(seen)) | refused
    return tuple(
        _service(seen, net, s, allocated[network.key(s)], vpn_ready) for s in seen.services
    )


def _usable(vpn: str, accepted: model.Verdict) -> model.Verdict:
    """Return whether a VPN can be used, as its apps are told."""
    if accepted.holds:
        return accepted
    message = f"PiaVpn {vpn} is not accepted: {accepted.message}"
    return model.Verdict(Status.FALSE, Reason.VPN_NOT_ACCEPTED, message)


def _refused(seen: model.Observed, refusal: model.Verdict) -> tuple[model.ServiceDecision, ...]:
    """Let each service keep its address: its pod may live by it."""
    return tuple(
        model.ServiceDecision(s, s.status.address, refusal, refusal, told=_told(seen, s))
        for s in seen.services
    )


def _told(
    seen: model.Observed, service: vpnapps.VpnServiceContainer
) -> dict[ServiceCondition, model.Verdict]:
    return mirror.of_service(seen.service_pods.get(network.key(service)), seen.silent_agents)


def _service(
    seen: model.Observed,
    net: piavpns.NetworkStatus,
    service: vpnapps.VpnServiceContainer,
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
    told = _told(seen, service)
    if isinstance(allocated, model.Verdict):
        return model.ServiceDecision(service, None, allocated, allocated, told=told)
    if refused := _not_allowed(seen, net, service, allocated):
        return model.ServiceDecision(service, allocated, refused, refused, told=told)
    accepted = model.Verdict(Status.TRUE, Reason.ACCEPTED)
    pod = seen.service_pods.get(network.key(service))
    if service.spec.suspend:
        ready = readiness.suspended(pod)
    elif network.key(service) in seen.refusals:
        ready = readiness.refused(seen.refusals[network.key(service)])
    elif lost := readiness.lost(pod, seen.lost_nodes):
        ready = lost
    else:
        warning = seen.warnings.get(network.key(service), "")
        ready = readiness.of_service(service, vpn_ready, told, pod, warning)
    return model.ServiceDecision(service, allocated, accepted, ready, told=told)


def _held_by_pods(seen: model.Observed) -> dict[ipaddress.IPv4Address, model.ServiceKey]:
    held = {readiness.pod_address(pod): key for key, pod in seen.service_pods.items()}
    mine = {address: key for address, key in held.items() if address is not None}
    return labelled.held(seen.labelled_pods) | mine


def _requeue(seen: model.Observed, *, waits_for_pods: bool) -> float:
    """Return the seconds until something is due by the clock alone.

    What is overdue is under way, and wakes a pass when it ends; or it waits for a change.
    """
    failures = (seen.server_list.failure, seen.dedicated.failure, _failure_of(seen.account))
    due = [failure.retry_time for failure in failures if failure is not None]
    refreshes = (seen.server_list.refresh_time, seen.dedicated.refresh_time)
    due += [refresh for refresh in refreshes if refresh is not None]
    if (relogin := authentication.relogin_time(seen)) is not None:
        due.append(relogin)
    seconds = [(moment - seen.now).total_seconds() for moment in due]
    longest = _PODS_SECONDS if waits_for_pods else RESYNC_SECONDS
    return min([longest, *(left for left in seconds if left > 0)])


def _not_allowed(
    seen: model.Observed,
    net: piavpns.NetworkStatus,
    service: vpnapps.VpnServiceContainer,
    address: ipaddress.IPv4Address,
) -> model.Verdict | None:
    """Return why no lock would hold in a pod as the user wants it; None where one does."""
    if problem := build_mounts.refusal(service):
        return model.Verdict(Status.FALSE, Reason.MOUNT_NOT_ALLOWED, problem)
    if problem := build_service.refusal(service, address, net, seen.settings):
        return model.Verdict(Status.FALSE, Reason.TEMPLATE_NOT_ALLOWED, problem)
    return None


def _awaited(seen: model.Observed, services: Iterable[model.ServiceDecision]) -> bool:
    """Tell whether a service waits for its pod: what keeps that from it is told in Events alone."""
    return any(
        decision.accepted.holds
        and not decision.service.spec.suspend
        and readiness.is_awaited(seen.service_pods.get(network.key(decision.service)))
        for decision in services
    )


def _failure_of(account: model.Account | None) -> model.Failure | None:
    return account.failure if account is not None else None
