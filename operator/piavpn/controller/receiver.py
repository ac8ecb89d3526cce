"""The one app of a VPN that receives the forwarded port, and what apps' pods are told. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from datetime import datetime

from piavpn.api import gateway_config, names, piavpns, vpnapps
from piavpn.api.conditions import ServiceCondition, Status
from piavpn.controller import build_hooks, labelled, mirror, model, network
from piavpn.controller.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """An app that wants the port, and may have it."""

    name: str
    """`namespace/name`; a labelled pod's begins with `pod `."""
    created: datetime
    address: ipaddress.IPv4Address
    wanted: vpnapps.ReceiveForwardedPort


def claims(
    services: Iterable[model.ServiceDecision], pods: Iterable[model.LabelledDecision]
) -> list[Claim]:
    """Return who wants the port of a VPN, of all that was decided about its apps so far."""
    found = []
    for it in services:
        wanted = it.service.spec.receive_forwarded_port
        if it.accepted.holds and wanted is not None and it.address is not None:
            found.append(Claim(_name(it.service), it.service.created, it.address, wanted))
    for pod in pods:
        # One that is refused has none, nor has one that ends: the port is another's then.
        wanted = labelled.received(pod.pod) if pod.address is not None else None
        metadata = pod.pod["metadata"]
        if wanted is not None and pod.address is not None and "deletionTimestamp" not in metadata:
            created = datetime.fromisoformat(metadata["creationTimestamp"])
            found.append(Claim(_name_of_pod(pod), created, pod.address, wanted))
    return found


def choose(wanting: Iterable[Claim], config: gateway_config.GatewayConfig | None) -> Claim | None:
    """Return the app that has the port: who has it keeps it, then the oldest that wants it.

    Args:
        wanting: all that want it.
        config: what the gateway was told last: the record of who has the port.
    """
    forwarding_now = config.port_forwarding if config is not None else None
    holder = forwarding_now.receiver if forwarding_now is not None else None
    return min(wanting, key=lambda it: (it.name != holder, it.created, it.name), default=None)


def forwarding(holder: Claim | None) -> gateway_config.PortForwarding | None:
    """Return what the gateway is told of the app that has the port."""
    if holder is None:
        return None
    wanted = holder.wanted
    return gateway_config.PortForwarding(holder.address, wanted.protocol, wanted.port, holder.name)


def told(
    decision: model.LabelledDecision, holder: Claim | None, vpn: str
) -> model.LabelledDecision:
    """Return the decision about a labelled pod, with a word on the port where it wants that.

    It runs with and without: while a Deployment rolls, its old pod has the port, and ends only
    after the new one runs.
    """
    if holder is None or decision.address is None or labelled.received(decision.pod) is None:
        return decision
    if holder.name == _name_of_pod(decision):
        message = f"the forwarded port of PiaVpn {vpn} goes to this pod"
    else:
        message = (
            f"{holder.name} receives the forwarded port of PiaVpn {vpn}: this pod takes over when "
            "that one goes or receives none"
        )
    return dataclasses.replace(
        decision, accepted=dataclasses.replace(decision.accepted, message=message)
    )


def settled(
    decision: model.ServiceDecision,
    holder: Claim | None,
    seen: model.Observed,
) -> model.ServiceDecision:
    """Return the decision about an app, with what it is told and whether it may have the port."""
    service = decision.service
    if not decision.accepted.holds or seen.vpn is None:
        return decision
    if not _wants(service):
        return dataclasses.replace(decision, announced=_announced(service, seen, port=None))
    if holder is None or holder.name != _name(service):
        taken = _taken(holder, seen.name)
        return dataclasses.replace(decision, accepted=taken, ready=taken)
    port = _port(seen.vpn)
    propagated = {ServiceCondition.PORT_PROPAGATED: _propagated(service, seen, port)}
    return dataclasses.replace(
        decision,
        told={**decision.told, **propagated},
        announced=_announced(service, seen, port=port),
        forwarded_port=port,
    )


def _wants(service: vpnapps.VpnServiceContainer) -> bool:
    return service.spec.receive_forwarded_port is not None


def _name(service: vpnapps.VpnServiceContainer) -> str:
    """Return `namespace/name`."""
    return "/".join(network.key(service))


def _name_of_pod(decision: model.LabelledDecision) -> str:
    return "/".join(labelled.key(decision.pod))


def _port(vpn: piavpns.PiaVpn) -> int | None:
    forwarded = vpn.status.forwarded_port
    return forwarded.port if forwarded is not None else None


def _taken(holder: Claim | None, vpn: str) -> model.Verdict:
    name = holder.name if holder is not None else "another app"
    return model.Verdict(
        Status.FALSE,
        Reason.PORT_RECEIVER_TAKEN,
        f"{name} receives the forwarded port of PiaVpn {vpn}: this app takes over when that one "
        "goes or receives none; or remove spec.receiveForwardedPort here",
    )


def _announced(
    service: vpnapps.VpnServiceContainer, seen: model.Observed, *, port: int | None
) -> dict[str, str | None]:
    """Return the pod's annotations; a port that is not known now leaves the last one there."""
    if not build_hooks.is_told(service):
        return {}
    assert seen.vpn is not None  # noqa: S101 - the caller looked
    announced: dict[str, str | None] = dict(build_hooks.scripts(service))
    if port is not None or not _wants(service):
        announced[names.ANNOTATION_FORWARDED_PORT] = str(port) if port is not None else None
    if (exit_address := _exit_address(seen.vpn.status)) is not None:
        announced[names.ANNOTATION_EXIT_ADDRESS] = str(exit_address)
    started = _app_started(seen.service_pods.get(network.key(service)))
    if started and build_hooks.has_hook(service):
        announced[names.ANNOTATION_APP_STARTED] = started
    return announced


def _exit_address(status: piavpns.PiaVpnStatus) -> ipaddress.IPv4Address | None:
    """Return the address that the Internet sees: until it was asked, the server's own is likely."""
    if status.exit_address is not None or status.session is None:
        return status.exit_address
    return status.session.server_address


def _app_started(pod: model.Object | None) -> str:
    """Return when the app's container started last; empty while it does not run."""
    for container in ((pod or {}).get("status") or {}).get("containerStatuses") or []:
        if container["name"] == build_hooks.APP:
            running = (container.get("state") or {}).get("running") or {}
            return str(running.get("startedAt", ""))
    return ""


def _propagated(
    service: vpnapps.VpnServiceContainer, seen: model.Observed, port: int | None
) -> model.Verdict:
    """Return whether the app was told the port that is forwarded now."""
    if port is None:
        message = f"PIA forwards no port yet: see condition PortForwarded of PiaVpn {seen.name}"
        return model.Verdict(Status.UNKNOWN, Reason.NO_PORT, message)
    pod = seen.service_pods.get(network.key(service))
    telling = model.Verdict(Status.FALSE, Reason.TELLING, f"the app is being told port {port}")
    annotations = (pod["metadata"].get("annotations") or {}) if pod is not None else {}
    if pod is None or annotations.get(names.ANNOTATION_FORWARDED_PORT) != str(port):
        return telling
    if service.spec.on_port_forwarded is None:
        message = f"port {port} is in {build_hooks.TOLD_DIRECTORY}/forwarded-port of the app"
        return model.Verdict(Status.TRUE, Reason.IN_FILE, message)
    hook = mirror.of_hook(pod, seen.silent_agents)
    # What the hook said may be about the port before.
    about_it = hook.status is Status.UNKNOWN or f"port {port} " in hook.message
    return hook if about_it else telling
