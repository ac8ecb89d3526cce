"""How the kernel and nft would list a rule set: to tell whether one that is there is intact.

The rule set is loaded into a namespace that nothing else uses. So a restarted agent recognises
what it finds, without a memory of its own and without touching traffic. Rule sets that differ in
addresses and links alone have one shape, and a shape is loaded once: no pod costs anything here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

from pyroute2 import IPRoute

from piavpn.net import netns, nft
from piavpn.node import listings

_KEPT = 4 * 1024 * 1024
"""Characters of all texts together."""

_KIND = "bridge"
"""Of the link that stands in for others: any would do."""

_STAND_INS = ("240.0.0.1", "240.0.0.2")
"""Addresses that no pod has (RFC 1112, section 4): in a shape, they take the place of pods'."""

_ADDRESS = re.compile(r"(?<![\d.])\d+\.\d+\.\d+\.\d+(?![\d./])")
"""One that stands alone, and is no network's."""


class Canonical:
    """Turns rule sets into listings; the same shape costs once."""

    def __init__(self) -> None:
        self._scratch = netns.create()
        self._has_link = False
        self._known: dict[tuple[str, str], str] = {}
        """What was used last is at the end."""
        self._size = 0

    def listing(
        self, table: str, ruleset: str, addresses: Collection[ipaddress.IPv4Address] = ()
    ) -> str:
        """Return what `nft.list_table` tells where `ruleset` is loaded.

        Args:
            table: the one table that the rule set makes.
            ruleset: the text for nft.
            addresses: some that rules name one by one, two at most: others make the same shape.

        Raises:
            NftError: nft refuses the rule set.
            pyroute2.NetlinkError: the kernel makes no link.
        """
        if not set(_ADDRESS.findall(ruleset)).isdisjoint(_STAND_INS):
            return self._shape(table, ruleset)
        stood_in = dict(zip(map(str, addresses), _STAND_INS, strict=False))
        listed = self._shape(table, _renamed(ruleset, stood_in))
        return _renamed(listed, {stand_in: address for address, stand_in in stood_in.items()})

    def is_intact(self, table: str, there: str | None, ruleset: str) -> bool:
        """Tell whether a table is what `ruleset` makes.

        Args:
            table: the one table that the rule set makes.
            there: the table as nft lists it; None where there is none.
            ruleset: the text for nft.

        Raises:
            NftError: nft refuses the rule set.
            pyroute2.NetlinkError: the kernel makes no link.
        """
        if there is None:
            return False
        found, wanted = listings.take_apart(there), listings.take_apart(ruleset)
        if found.elements != wanted.elements:
            return False
        listed = self._shape(table, wanted.shape)
        return found.shape == listings.take_apart(listed).shape

    def _shape(self, table: str, ruleset: str) -> str:
        asked = table, ruleset
        known = self._known.pop(asked, None)
        if known is None:
            known = self._listing(*asked)
            self._size += len(ruleset) + len(known)
        self._known[asked] = known
        while self._size > _KEPT:
            oldest = next(iter(self._known))
            self._size -= len(oldest[1]) + len(self._known.pop(oldest))
        return known

    def _listing(self, table: str, ruleset: str) -> str:
        with netns.entered(self._scratch):
            if not self._has_link:
                with IPRoute() as kernel:
                    kernel.link("add", ifname=listings.STAND_IN, kind=_KIND)
                self._has_link = True
            nft.load(ruleset)
            try:
                return nft.list_table(table)
            finally:
                nft.delete_table(table)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Return the text with other addresses for some of those in it."""
    return _ADDRESS.sub(lambda found: names.get(found[0], found[0]), text)
