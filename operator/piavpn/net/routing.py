"""IPv4 routes and routing rules as data. Pure; `piavpn.net.routes` brings them to the kernel."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from typing import Literal

MAIN_TABLE = 254
EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")
WHOLE_MARK = 0xFFFFFFFF


class Owner(enum.IntEnum):
    """Protocol numbers that nobody else uses (/etc/iproute2/rt_protos lists the known ones)."""

    NODE_AGENT = 112
    GATEWAY = 113


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One route. An `unreachable` one has neither next hop nor link, and so outlives them."""

    destination: ipaddress.IPv4Network = EVERYWHERE
    via: ipaddress.IPv4Address | None = None
    dev: str | None = None
    table: int = MAIN_TABLE
    metric: int = 0
    kind: Literal["unicast", "unreachable"] = "unicast"
    onlink: bool = False
    """Whether the next hop counts as a neighbour on `dev` though no route leads to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One routing rule: what matches looks into `table`, or is unreachable where that is None."""

    priority: int
    table: int | None
    from_: ipaddress.IPv4Network | None = None
    fwmark: int | None = None
    mask: int = WHOLE_MARK
    to: ipaddress.IPv4Network | None = None
    iif: str | None = None
    oif: str | None = None
    uid: int | None = None
    """The user whose sockets it is for."""
