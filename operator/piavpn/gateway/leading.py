"""Leads the forwarded port to its receiver in the kernel, and cuts what one before has of it."""

from __future__ import annotations

import ipaddress
import logging

from piavpn.gateway import forwarded
from piavpn.net import conntrack, nft, programs

log = logging.getLogger(__name__)


class Leading:
    """What the kernel was told last. For one thread."""

    def __init__(self) -> None:
        self._ways: frozenset[forwarded.Way] = frozenset()
        self._exits: frozenset[ipaddress.IPv4Address] = frozenset()
        self._to_cut: frozenset[forwarded.Way] = frozenset()

    @property
    def unfinished(self) -> bool:
        """Whether connections of an earlier receiver may be left: lead again."""
        return bool(self._to_cut)

    def lead(self, ways: frozenset[forwarded.Way], exits: frozenset[ipaddress.IPv4Address]) -> None:
        """Have the map lead these ways, and end connections that it does not lead to now.

        Connections that cannot be ended are told of, and tried again the next time.

        Raises:
            NftError: the kernel refused; all is as it was.
        """
        if (ways, exits) != (self._ways, self._exits):
            nft.load(forwarded.update(ways, exits))
            self._to_cut = (self._to_cut | self._ways) - ways
            self._ways, self._exits = ways, exits
        for way in self._to_cut:
            try:
                conntrack.forget_inbound(way.protocol.lower(), way.port)
            except programs.ProgramError as error:
                log.warning("port forwarding: port %d of the app before: %s", way.port, error)
            else:
                self._to_cut -= {way}
