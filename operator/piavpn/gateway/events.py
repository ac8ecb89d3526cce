"""What is worth an Event on the PiaVpn: transitions, read off two memories. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from piavpn.gateway.memory import Memory


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An Event, but for object and time."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def between(before: Memory, after: Memory) -> Iterator[Event]:
    """Yield what happened between one turn and the next.

    What an earlier process of the pod left and told is taken up silently.
    """
    old, new = before.session, after.session
    if old is None and new is not None and before.kept is None:
        yield Event("Normal", "TunnelUp", f"{new.place} answers through the tunnel.")
    elif old is not None and new is None:
        why = after.failure.message if after.failure is not None else f"{old.place} is lost."
        yield Event("Warning", "TunnelDown", why)
    elif old is not None and new is not None and old.public_key != new.public_key:
        yield Event(
            "Normal",
            "Renewed",
            f"New connections go through {new.place}; established ones stay with {old.place} "
            "until they end or the grace period is over.",
        )
    seen, sees = before.exit_address, after.exit_address
    if seen is not None and sees is not None and seen != sees:
        yield Event(
            "Normal", "ExitAddressChanged", f"The Internet sees {sees} now; before, {seen}."
        )
