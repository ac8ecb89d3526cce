"""How the kernel and nft would list a rule set: to tell whether one that is there is intact.

The rule set is loaded into a namespace that nothing else uses. So a restarted agent recognises
what it finds, without a memory of its own and without touching traffic.
"""

from __future__ import annotations

import functools

from pyroute2 import IPRoute

from piavpn.net import netns, nft

_KEPT = 1024  # one for each pod of a node, and room for changes

_KIND = "bridge"
"""Of the links that stand in for others: any would do."""


class Canonical:
    """Turns rule sets into listings; the same text costs once."""

    def __init__(self) -> None:
        self._scratch = netns.create()
        self.listing = functools.lru_cache(_KEPT)(self._listing)

    def _listing(self, table: str, ruleset: str, devices: tuple[str, ...] = ()) -> str:
        """Return what `nft.list_table` tells where `ruleset` is loaded.

        Args:
            table: the one table that the rule set makes.
            ruleset: the text for nft.
            devices: links that its hooks name, which must be there to load it.

        Raises:
            NftError: nft refuses the rule set.
            pyroute2.NetlinkError: the kernel makes no links.
        """
        with netns.entered(self._scratch), IPRoute() as kernel:
            try:
                for name in devices:
                    kernel.link("add", ifname=name, kind=_KIND)
                nft.load(ruleset)
                listed = nft.list_table(table)
                nft.delete_table(table)
            finally:
                # All that are there: one that stayed would be in the way of every next listing.
                for link in kernel.get_links():
                    if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == _KIND:
                        kernel.link("del", index=link["index"])
        return listed
