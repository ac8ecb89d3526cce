"""Labelled pods: those that users make themselves, as by a Deployment, with label piavpn.dev/vpn.

Each gets an address on the bridge, which is written on the pod itself, once: that is the record of
who has which. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from piavpn.api import names, piavpns, protocols, vpnapps
from piavpn.api.conditions import Status
from piavpn.controller import model, network, readiness
from piavpn.controller.reasons import Reason

_RECEIVES = re.compile(r"(?:([1-9][0-9]{0,4})/)?(tcp|udp|both)")
_MOST_PORTS = 65535
_PROTOCOLS = {
    "tcp": protocols.ForwardedProtocol.TCP,
    "udp": protocols.ForwardedProtocol.UDP,
    "both": protocols.ForwardedProtocol.BOTH,
}


def key(pod: model.Object) -> model.ServiceKey:
    """Return what stands for the pod among services' keys, and is none of theirs."""
    metadata = pod["metadata"]
    return f"pod {metadata['namespace']}", metadata["name"]


def wants_port(pod: model.Object) -> bool:
    """Tell whether the pod asks for the forwarded port, in whatever words."""
    annotations = pod["metadata"].get("annotations") or {}
    return names.ANNOTATION_RECEIVE_FORWARDED_PORT in annotations


def received(pod: model.Object) -> vpnapps.ReceiveForwardedPort | None:
    """Return how the pod receives the forwarded port; None where it does not.

    Raises:
        ValueError: its annotation cannot be read; the message says how to write it.
    """
    said = (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_RECEIVE_FORWARDED_PORT)
    if said is None:
        return None
    found = _RECEIVES.fullmatch(said)
    port = int(found[1]) if found and found[1] else None
    if found is None or (port or 0) > _MOST_PORTS:
        raise ValueError(
            f"annotation {names.ANNOTATION_RECEIVE_FORWARDED_PORT} must be tcp, udp or both, or "
            "such a word after the pod's own port, as 51413/both"
        )
    return vpnapps.ReceiveForwardedPort(port, _PROTOCOLS[found[2]])


def held(pods: Iterable[model.Object]) -> dict[ipaddress.IPv4Address, model.ServiceKey]:
    """Return the addresses that pods have, and whose they are: the oldest pod's of two.

    Args:
        pods: the oldest first.
    """
    owners: dict[ipaddress.IPv4Address, model.ServiceKey] = {}
    for pod in pods:
        address = readiness.pod_address(pod)
        if address is not None:
            owners.setdefault(address, key(pod))
    return owners


def decide(
    seen: model.Observed,
    net: piavpns.NetworkStatus | None,
    vpn: model.Verdict,
    services: Iterable[model.ServiceDecision],
) -> tuple[model.LabelledDecision, ...]:
    """Return what is to be done about each labelled pod of the VPN.

    Args:
        seen: what is seen.
        net: the VPN's network.
        vpn: whether it can be used, as its apps are told.
        services: what was decided about the VPN's services, which have their addresses first.
    """
    owners = held(seen.labelled_pods)
    for it in services:
        if it.address is not None:
            owners[it.address] = network.key(it.service)
        for wanted in (it.service.status.address, it.service.spec.ip):
            if wanted is not None:
                owners.setdefault(wanted, network.key(it.service))
    # The pod of a service that was deleted has its address until it has ended.
    for of_service, pod in seen.service_pods.items():
        if (address := readiness.pod_address(pod)) is not None:
            owners.setdefault(address, of_service)
    decisions = []
    for pod in seen.labelled_pods:
        found = _refusal(seen, pod, vpn) or _address(net, pod, owners)
        if isinstance(found, ipaddress.IPv4Address):
            owners.setdefault(found, key(pod))
            accepted = model.Verdict(Status.TRUE, Reason.ACCEPTED)
            decisions.append(model.LabelledDecision(pod, accepted, found))
        else:
            decisions.append(model.LabelledDecision(pod, found, ends=_ends(pod, found)))
    return tuple(decisions)


def _refusal(seen: model.Observed, pod: model.Object, vpn: model.Verdict) -> model.Verdict | None:
    """Return why the pod gets no address, whichever are free; None where it may have one."""
    if not vpn.holds:
        return vpn
    if stranger := network.stranger(seen, pod["metadata"]["namespace"]):
        return stranger
    try:
        received(pod)
    except ValueError as error:
        return model.Verdict(Status.FALSE, Reason.INVALID, str(error))
    return None


def _address(
    net: piavpns.NetworkStatus | None,
    pod: model.Object,
    owners: dict[ipaddress.IPv4Address, model.ServiceKey],
) -> ipaddress.IPv4Address | model.Verdict:
    """Return the address that the pod has, or is to have."""
    assert net is not None  # noqa: S101 - a VPN that can be used has one
    has = readiness.pod_address(pod)
    if has is None:
        return network.first_free_address(net, owners)
    if not network.usable(net, has):
        return model.Verdict(
            Status.FALSE,
            Reason.ADDRESS_OUTSIDE_SUBNET,
            f"the pod has {has}, and the VPN's subnet is {net.subnet} now: delete the pod to have "
            "it made anew",
        )
    if owners[has] != key(pod):
        return model.Verdict(
            Status.FALSE,
            Reason.ADDRESS_TAKEN,
            f"{has} is held by {'/'.join(owners[has])}: delete the pod to have it made anew",
        )
    return has


def _ends(pod: model.Object, refused: model.Verdict) -> bool:
    """Tell whether a pod that has an address is to be deleted, as a service's would be.

    What has none was never started, and waits in its gate. A pod without a controller would be
    lost, for which its being in the wrong place is no reason.
    """
    if readiness.pod_address(pod) is None:
        return False
    if refused.reason == Reason.NAMESPACE_NOT_ALLOWED:
        return True
    made_anew = any(o.get("controller") for o in pod["metadata"].get("ownerReferences") or [])
    dead = (Reason.ADDRESS_OUTSIDE_SUBNET, Reason.ADDRESS_TAKEN)
    return made_anew and refused.reason in dead
