"""kopf's registrations: each event only names the VPN that wants a pass.

Event handlers alone: daemons, timers and change handlers would put a finalizer or an annotation on
every object, and a finalizer blocks deletion while the operator is away. Ownership and garbage
collection remove everything in the cluster, the node agent everything on the node.

Only kinds of which all objects concern us: what is to be selected is watched by `watches`.
"""

from __future__ import annotations

import json
from typing import Any

import kopf

from piavpn.api import names
from piavpn.controller import reconciler


class _Last:
    """What was told last of each object: an event says how it is, not how it was."""

    def __init__(self) -> None:
        self._values: dict[str, str | None] = {}

    def told(self, key: str, value: str | None, *, gone: bool) -> str | None:
        """Keep `value`, unless the object is gone; return what it was before."""
        before = self._values.pop(key, None)
        if not gone:
            self._values[key] = value
        return before


def registry(loop: reconciler.Reconciler) -> kopf.OperatorRegistry:
    """Return kopf's registry with the operator's handlers."""
    registered = kopf.OperatorRegistry()
    vpns = _Last()  # by a service's UID: one that moves concerns two VPNs
    servers = _Last()  # by VPN: those that it may end at are taken for the others

    @kopf.on.login(registry=registered, id="login")
    async def login(**settings: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**settings) or kopf.login_with_kubeconfig(**settings)

    @kopf.on.event(names.GROUP, names.VERSION, "piavpns", registry=registered, id="vpn")
    async def vpn_changed(
        name: str,
        status: kopf.Status,
        type: str | None,  # noqa: A002 - kopf's word
        **_: Any,
    ) -> None:
        loop.wake(name)
        session, known = status.get("session") or {}, status.get("candidateServers") or []
        server = ",".join([session.get("serverAddress", ""), *known]) or None
        if servers.told(name, server, gone=type == "DELETED") != server or type == "DELETED":
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
        loop.wake(vpns.told(uid, vpn, gone=type == "DELETED") or vpn)

    _on_namespaces(registered, loop)

    @kopf.on.probe(registry=registered, id="loop")
    async def probe(**_: Any) -> bool:
        if not loop.healthy():
            # Any other exception would leave the probe's request without an answer.
            raise kopf.PermanentError("the reconcile loop is stuck")
        return True

    return registered


def _on_namespaces(registered: kopf.OperatorRegistry, loop: reconciler.Reconciler) -> None:
    labels_of = _Last()  # PiaVpns select by them whose apps they take

    @kopf.on.event("", "v1", "namespaces", registry=registered, id="namespace")
    async def namespace_changed(
        name: str,
        labels: kopf.Labels,
        type: str | None,  # noqa: A002 - kopf's word
        **_: Any,
    ) -> None:
        known = json.dumps(dict(labels), sort_keys=True)
        if labels_of.told(name, known, gone=type == "DELETED") != known:
            loop.wake_all()


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    wanted = kopf.OperatorSettings()
    wanted.posting.enabled = False  # Events are posted by report, about transitions alone
    wanted.watching.connect_timeout = 10
    wanted.networking.request_timeout = 30
    return wanted
