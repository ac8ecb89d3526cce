"""Whose the pods are that go through VPNs. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from piavpn.api import names, vpnapps
from piavpn.controller import model, network, readiness

_FINISHED = ("Succeeded", "Failed")


def of_services(
    pods: Iterable[model.Object], vpn: str, services: Iterable[vpnapps.VpnServiceContainer]
) -> tuple[dict[model.ServiceKey, model.Object], dict[ipaddress.IPv4Address, str]]:
    """Return the VPN's services' pods, and which addresses are whose of other VPNs.

    Args:
        pods: all with LABEL_VPN.
        vpn: the VPN's name.
        services: its services: the pod of one that moves to it is its own, too.
    """
    mine = {network.key(service) for service in services}
    found: dict[model.ServiceKey, model.Object] = {}
    elsewhere = {}
    for pod in _living(pods):
        labels = pod["metadata"]["labels"]
        key = pod["metadata"]["namespace"], labels.get(names.LABEL_SERVICE, "")
        its_vpn, address = labels[names.LABEL_VPN], readiness.pod_address(pod)
        # Whoever may make pods can give them our labels: the StatefulSet's own comes first.
        first = key not in found or pod["metadata"]["name"] == f"{key[1]}-0"
        if key[1] and first and (its_vpn == vpn or key in mine):
            found[key] = pod
        if its_vpn != vpn and address is not None:
            elsewhere[address] = its_vpn
    return found, elsewhere


def moved(
    pods: Iterable[model.Object], vpn: str, services: Iterable[vpnapps.VpnServiceContainer]
) -> str:
    """Return the label selector of pods that services may still have at other VPNs; or nothing.

    Args:
        pods: those of this VPN.
        vpn: the VPN's name.
        services: its services.
    """
    here = {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods}
    without = {each.name for each in services if (each.namespace, f"{each.name}-0") not in here}
    if not without:
        return ""
    listed = ",".join(sorted(without))
    return f"{names.LABEL_VPN},{names.LABEL_VPN}!={vpn},{names.LABEL_SERVICE} in ({listed})"


def labelled(pods: Iterable[model.Object], vpn: str) -> tuple[model.Object, ...]:
    """Return the VPN's labelled pods, the oldest first.

    Args:
        pods: all with LABEL_VPN.
        vpn: the VPN's name.
    """
    found = (
        pod
        for pod in _living(pods)
        if pod["metadata"]["labels"][names.LABEL_VPN] == vpn
        and names.LABEL_SERVICE not in pod["metadata"]["labels"]
    )
    return tuple(sorted(found, key=_age))


def _living(pods: Iterable[model.Object]) -> Iterable[model.Object]:
    return (pod for pod in pods if (pod.get("status") or {}).get("phase") not in _FINISHED)


def _age(pod: model.Object) -> tuple[str, ...]:
    metadata = pod["metadata"]
    return metadata["creationTimestamp"], metadata["namespace"], metadata["name"]
