"""A port's protocols, as the API writes them."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """A port's protocol."""

    TCP = "TCP"
    UDP = "UDP"


class ForwardedProtocol(StrEnum):
    """Which protocols of the forwarded port an app receives."""

    TCP = "TCP"
    UDP = "UDP"
    BOTH = "Both"

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols themselves."""
        return tuple(each for each in Protocol if self in (self.BOTH, each))
