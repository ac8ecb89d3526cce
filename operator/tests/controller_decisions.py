"""What one pass is expected to decide: that of a tunnel that works, to be changed by each test."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from controller_samples import (
    CONFIG,
    NETWORK,
)

from piavpn.api.conditions import PiaVpnCondition, ServiceCondition, Status
from piavpn.controller import model

ACCEPTED, READY = PiaVpnCondition.ACCEPTED, PiaVpnCondition.READY
ATTACHED = PiaVpnCondition.GATEWAY_ATTACHED
AUTHENTICATED, SERVERS_KNOWN = PiaVpnCondition.AUTHENTICATED, PiaVpnCondition.SERVERS_KNOWN
NOTHING = model.Errands()


def true(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.TRUE, reason, message)


def false(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.FALSE, reason, message)


def unknown(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.UNKNOWN, reason, message)


NO_POD = "no pod of it is on any node"
WITHOUT_POD = {
    ServiceCondition.CONFINED: false("NoPod", NO_POD),
    ServiceCondition.LEAK_FREE: unknown("NoPod", NO_POD),
}
WITH_POD = {
    ServiceCondition.CONFINED: true("Attached"),
    ServiceCondition.LEAK_FREE: true("NothingLeaked"),
}
"""What is told of a service by its pod."""

FINE = model.Decision(
    network=NETWORK,
    gateway=CONFIG,
    verdicts={
        ACCEPTED: true("Accepted"),
        AUTHENTICATED: true("LoggedIn"),
        SERVERS_KNOWN: true("ServersFound", "2 servers in swiss"),
        ATTACHED: true("Attached"),
        READY: true("Ready"),
    },
    node="n1",
    services=(),
    errands=NOTHING,
    requeue_seconds=300.0,
)


def fine_but(verdicts: Mapping[PiaVpnCondition, model.Verdict], **changes: Any) -> model.Decision:
    merged = {**FINE.verdicts, **verdicts}
    return dataclasses.replace(FINE, verdicts=merged, **changes)
