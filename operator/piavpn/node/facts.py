"""What this node has, and which layers are at work on it: read, and told in the agent's Lease."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Iterable

from pyroute2 import NetlinkError

from piavpn.api.node_facts import NodeFacts, WireGuard
from piavpn.net import nft
from piavpn.node import hostfilter, layers, leaktests
from piavpn.node.model import Role
from piavpn.node.pods import Member

_LOADED = pathlib.Path("/sys/module/wireguard")
_MODULES = pathlib.Path("/lib/modules")
_TUN = pathlib.Path("/dev/net/tun")
_FRESH_SECONDS = 300.0
"""How long what is read of the kernel counts: a Lease is renewed every few seconds."""


class Facts:
    """Reads them. The calling thread is in the node's namespace."""

    def __init__(self, members: Callable[[], Iterable[Member]], tests: leaktests.LeakTests) -> None:
        self._members = members
        self._tests = tests
        self._wireguard = WireGuard.NONE
        self._nftables = False
        self._read = float("-inf")

    def read(self) -> NodeFacts | None:
        """Return them; None where the kernel does not tell."""
        now = time.monotonic()
        if now - self._read >= _FRESH_SECONDS:
            self._wireguard, self._nftables, self._read = wireguard(), _has_nftables(), now
        try:
            seen = layers.look()
        except NetlinkError:
            return None
        stopped = [
            verdict.raw_stopped
            for member in self._members()
            if member.pod.role is Role.SERVICE and member.sandbox is not None
            if (verdict := self._tests.verdict(member.sandbox)) is not None and not verdict.failure
        ]
        return NodeFacts(
            kernel=os.uname().release,
            wireguard=self._wireguard,
            nftables=self._nftables,
            cilium=seen.cilium,
            bridged_by_iptables=seen.bridged_by_iptables,
            tested=len(stopped),
            raw_frames_unseen=stopped.count(False),
            raw_frames_unknown=stopped.count(None),
        )


def wireguard(
    loaded: pathlib.Path = _LOADED, modules: pathlib.Path = _MODULES, tun: pathlib.Path = _TUN
) -> WireGuard:
    """Return how this node makes WireGuard links. Loads no module, makes no link."""
    lists = (modules / os.uname().release / name for name in ("modules.builtin", "modules.dep"))
    if loaded.exists() or any(_names_wireguard(each) for each in lists):
        return WireGuard.KERNEL
    return WireGuard.USERSPACE if tun.exists() else WireGuard.NONE


def _names_wireguard(module_list: pathlib.Path) -> bool:
    try:
        return b"/wireguard.ko" in module_list.read_bytes()
    except OSError:
        return False


def _has_nftables() -> bool:
    try:
        nft.find_table(hostfilter.TABLE)
    except nft.NftError:
        return False
    return True
