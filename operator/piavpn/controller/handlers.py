"""kopf's registrations: each event only names the VPN that wants a pass.

Event handlers alone: daemons, timers and change handlers would put a finalizer or an annotation on
every object, and a finalizer blocks deletion while the operator is away. Ownership and garbage
collection remove everything in the cluster, the node agent everything on the node.
"""

from __future__ import annotations

from typing import Any

import kopf

from piavpn.api import names
from piavpn.controller import reconciler


def registry(loop: reconciler.Reconciler) -> kopf.OperatorRegistry:
    """Return kopf's registry with the operator's handlers."""
    registered = kopf.OperatorRegistry()
    vpns: dict[str, str] = {}  # by a service's UID: one that moves concerns two VPNs

    @kopf.on.login(registry=registered, id="login")
    async def login(**settings: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**settings) or kopf.login_with_kubeconfig(**settings)

    @kopf.on.event(names.GROUP, names.VERSION, "piavpns", registry=registered, id="vpn")
    async def vpn_changed(name: str, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's word
        loop.wake(name)
        if type == "DELETED":
            loop.wake_all()

    @kopf.on.event(
        names.GROUP, names.VERSION, "vpnservicecontainers", registry=registered, id="service"
    )
    async def service_changed(
        uid: str,
        spec: kopf.Spec,
        type: str | None,  # noqa: A002 - kopf's word
        **_: Any,
    ) -> None:
        vpn = spec["vpnRef"]["name"]
        loop.wake(vpn)
        loop.wake(vpns.get(uid, vpn))
        vpns[uid] = vpn
        if type == "DELETED":
            del vpns[uid]

    @kopf.on.event(
        "pods", labels={names.LABEL_VPN: kopf.PRESENT}, registry=registered, id="service-pod"
    )
    async def service_pod_changed(labels: kopf.Labels, **_: Any) -> None:
        loop.wake(labels[names.LABEL_VPN])

    @kopf.on.event(
        "pods", labels={names.LABEL_GATEWAY: kopf.PRESENT}, registry=registered, id="gateway-pod"
    )
    async def gateway_pod_changed(labels: kopf.Labels, **_: Any) -> None:
        loop.wake(labels[names.LABEL_GATEWAY])

    @kopf.on.probe(registry=registered, id="loop")
    async def probe(**_: Any) -> bool:
        if not loop.healthy():
            # Any other exception would leave the probe's request without an answer.
            raise kopf.PermanentError("the reconcile loop is stuck")
        return True

    return registered


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    wanted = kopf.OperatorSettings()
    wanted.posting.enabled = False  # Events are posted by report, about transitions alone
    wanted.watching.connect_timeout = 10
    wanted.networking.request_timeout = 30
    return wanted
