"""What one pass is expected to decide: that of a tunnel that works, to be changed by each test."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from controller_samples import (
    CONFIG,
    NETWORK,
)

from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import model

ACCEPTED, READY = PiaVpnCondition.ACCEPTED, PiaVpnCondition.READY
AUTHENTICATED, SERVERS_KNOWN = PiaVpnCondition.AUTHENTICATED, PiaVpnCondition.SERVERS_KNOWN
NOTHING = model.Errands()


def true(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.TRUE, reason, message)


def false(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.FALSE, reason, message)


def unknown(reason: str, message: str = "") -> model.Verdict:
    return model.Verdict(Status.UNKNOWN, reason, message)


FINE = model.Decision(
    network=NETWORK,
    gateway=CONFIG,
    verdicts={
        ACCEPTED: true("Accepted"),
        AUTHENTICATED: true("LoggedIn"),
        SERVERS_KNOWN: true("ServersFound", "2 servers in swiss"),
        READY: true("Ready"),
    },
    services=(),
    errands=NOTHING,
    requeue_seconds=300.0,
)


def fine_but(verdicts: Mapping[PiaVpnCondition, model.Verdict], **changes: Any) -> model.Decision:
    merged = {**FINE.verdicts, **verdicts}
    return dataclasses.replace(FINE, verdicts=merged, **changes)
