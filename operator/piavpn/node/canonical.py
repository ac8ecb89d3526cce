"""How the kernel and nft would list a rule set: to tell whether one that is there is intact.

The rule set is loaded into a namespace that nothing else uses. So a restarted agent recognises
what it finds, without a memory of its own and without touching traffic.
"""

from __future__ import annotations

from pyroute2 import IPRoute

from piavpn.net import netns, nft

_KEPT = 4 * 1024 * 1024
"""Characters of all texts together: a pod's have some thousands and last, while those that are for
all pods of a node have more, and are others at each change."""

_KIND = "bridge"
"""Of the links that stand in for others: any would do."""


class Canonical:
    """Turns rule sets into listings; the same text costs once."""

    def __init__(self) -> None:
        self._scratch = netns.create()
        self._devices: set[str] = set()
        """That are there, kept for the next listing: each pod would cost as many as there are."""
        self._known: dict[tuple[str, str, tuple[str, ...]], str] = {}
        """What was used last is at the end."""
        self._size = 0

    def listing(self, table: str, ruleset: str, devices: tuple[str, ...] = ()) -> str:
        """Return what `nft.list_table` tells where `ruleset` is loaded.

        Args:
            table: the one table that the rule set makes.
            ruleset: the text for nft.
            devices: links that its hooks name, which must be there to load it.

        Raises:
            NftError: nft refuses the rule set.
            pyroute2.NetlinkError: the kernel makes no links.
        """
        asked = table, ruleset, devices
        known = self._known.pop(asked, None)
        if known is None:
            known = self._listing(*asked)
            self._size += len(ruleset) + len(known)
        self._known[asked] = known
        while self._size > _KEPT:
            oldest = next(iter(self._known))
            self._size -= len(oldest[1]) + len(self._known.pop(oldest))
        return known

    def _listing(self, table: str, ruleset: str, devices: tuple[str, ...]) -> str:
        with netns.entered(self._scratch):
            try:
                self._have(set(devices))
                nft.load(ruleset)
                listed = nft.list_table(table)
                nft.delete_table(table)
            except BaseException:
                self._clear()
                raise
        return listed

    def _have(self, devices: set[str]) -> None:
        if devices == self._devices:
            return
        with IPRoute() as kernel:
            for name in self._devices - devices:
                kernel.link("del", ifname=name)
                self._devices.remove(name)
            for name in sorted(devices - self._devices):
                kernel.link("add", ifname=name, kind=_KIND)
                self._devices.add(name)

    def _clear(self) -> None:
        """Remove all links that are there: one that stayed would be in the way of every listing."""
        self._devices.clear()
        with IPRoute() as kernel:
            for link in kernel.get_links():
                if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == _KIND:
                    kernel.link("del", index=link["index"])
