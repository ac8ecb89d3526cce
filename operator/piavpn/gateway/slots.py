"""The gateway's slots: a WireGuard link, a connection mark and a routing table each."""

from __future__ import annotations

import dataclasses

from piavpn.api import names

MARK_MASK = 0xF00
"""The slot's part of a mark; the node agent's lock uses other bits of the same mark."""


HAIRPIN_MARK = 0x400
"""Of a connection that an app makes to the forwarded port: no slot carries it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """One of the places that a session can be in; a renewal goes from one to the other."""

    link: str
    mark: int
    table: int


SLOTS = tuple(
    Slot(link=link, mark=0x100 * (number + 1), table=100 + number)
    for number, link in enumerate(names.TUNNEL_LINKS)
)
"""Their links' order gives them their numbers."""


def of_link(link: str) -> Slot:
    """Return the slot that has this link."""
    return next(slot for slot in SLOTS if slot.link == link)
