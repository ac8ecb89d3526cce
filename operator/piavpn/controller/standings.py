"""How each VPN stood after its last pass, for who asks between passes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from datetime import datetime

from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import model


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How one VPN stood, and all that is behind it."""

    ready: bool | None
    """None where there is no such PiaVpn, but services that name it."""
    authenticated: model.Verdict | None
    """What PIA said of user name and password; None where it said nothing yet."""
    services: Mapping[model.ServiceKey, bool]
    """Whether each is ready that is not suspended."""
    list_time: datetime | None
    """When the server list was fetched that the VPN goes by."""
    silent_agents: frozenset[str]
    """Nodes of its pods whose agents are silent."""


def of(seen: model.Observed, decision: model.Decision) -> Standing | None:
    """Return how it stands after this decision; None where nothing is left of it."""
    if seen.vpn is None and seen.invalid is None and not decision.services:
        return None
    ready = decision.verdicts.get(PiaVpnCondition.READY)
    authenticated = decision.verdicts.get(PiaVpnCondition.AUTHENTICATED)
    if authenticated is not None and authenticated.status is Status.UNKNOWN:
        authenticated = None
    return Standing(
        ready=ready.holds if ready is not None else None,
        authenticated=authenticated,
        services={
            (each.service.namespace, each.service.name): each.ready.holds
            for each in decision.services
            if not each.service.spec.suspend
        },
        list_time=seen.server_list.list_time,
        silent_agents=frozenset(seen.silent_agents),
    )


class Standings:
    """Those of all VPNs, by name. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Standing] = {}

    def keep(self, vpn: str, standing: Standing | None) -> None:
        """Take how a VPN stands; None forgets it."""
        with self._lock:
            self._known.pop(vpn, None)
            if standing is not None:
                self._known[vpn] = standing

    def read(self) -> Mapping[str, Standing]:
        """Return how each stands, by its name."""
        with self._lock:
            return dict(self._known)
