"""What the tests of the forwarded port have in common."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway_objects import SESSION

from piavpn.api.gateway_config import PortForwarding
from piavpn.gateway.portforward import Around, Memory
from piavpn.pia.portforward import SignedPort

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
APP = ipaddress.IPv4Address("10.100.0.10")
PORT = SignedPort("payload", "signature", 45678, NOW + 62 * DAY)
ELSEWHERE = dataclasses.replace(SESSION, cn="zurich402", public_key="another key")
AROUND = Around(wanted=True, session=SESSION, token="token", checkable=False, now=NOW, clock=1000.0)
DICE = random.Random(1)
START = Memory().at(SESSION)
BOUND = START.signed(PORT).bound(PORT, AROUND, DICE)
WANTED = PortForwarding(APP)


def around(**changes: Any) -> Around:
    return dataclasses.replace(AROUND, **changes)


def later(seconds: float, **changes: Any) -> Around:
    moment = NOW + timedelta(seconds=seconds)
    return around(**({"now": moment, "clock": 1000.0 + seconds} | changes))
