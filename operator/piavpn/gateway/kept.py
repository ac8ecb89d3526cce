"""What outlives the gateway's process: a file in the pod's memory, so that a restart can adopt it.

The private keys are not in it: the links alone keep those.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib

from piavpn.api import codec
from piavpn.gateway.session import Session


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The sessions and what cannot be asked for at once."""

    current: Session | None = None
    """Where new connections go."""
    draining: Session | None = None
    """Where connections of before a move may still be."""
    drain_until: float = 0.0
    """Seconds of the monotonic clock, which counts on over a restart of the process."""
    exit_address: ipaddress.IPv4Address | None = None

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that there are."""
        return tuple(one for one in (self.current, self.draining) if one is not None)


def save(file: pathlib.Path, kept: Kept) -> None:
    """Keep it for a restart.

    Raises:
        OSError: the file cannot be written.
    """
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(codec.encode(kept)), encoding="utf-8")
    fresh.replace(file)


def load(file: pathlib.Path) -> Kept:
    """Return what was kept; nothing where there is no file that can be read."""
    try:
        return codec.decode(Kept, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):
        return Kept()
