"""Let traffic within a bridge pass where br_netfilter hands it to iptables' FORWARD chain.

Docker and others set that chain's policy to drop. An accept in a table of ours cannot undo another
table's drop, so the rule goes into that very chain, and away with the bridge. A node can have two
such chains, that of iptables over nftables and that of the older kernel interface: a packet must
pass both.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
from typing import Any, Protocol

from piavpn.net import nft, programs

_SWITCH = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_LEGACY_TABLES = pathlib.Path("/proc/thread-self/net/ip_tables_names")
_LOCK_SECONDS = "5"


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """A FORWARD chain, as far as it concerns a bridge of ours."""

    drops: bool
    """Whether that is its policy."""
    rule: str | None
    """What removes our rule; None where there is none."""


def open_(bridge: str) -> None:
    """Add the rule where it is needed and not there.

    Raises:
        NftError: nft refused.
        ProgramError: iptables-legacy is missing or refused.
    """
    if not is_needed():
        return
    for variant in _VARIANTS:
        chain = variant.look(bridge)
        if chain is not None and chain.drops and chain.rule is None:
            variant.insert(bridge)


def close(bridge: str) -> None:
    """Remove the rule where it is.

    Raises:
        NftError: nft refused.
        ProgramError: iptables-legacy is missing or refused.
    """
    for variant in _VARIANTS:
        chain = variant.look(bridge)
        if chain is not None and chain.rule is not None:
            variant.remove(chain.rule)


def is_needed() -> bool:
    """Tell whether traffic within a bridge comes to the FORWARD chains at all."""
    return _SWITCH.exists() and _SWITCH.read_text().strip() == "1"


class _Variant(Protocol):
    def look(self, bridge: str) -> Chain | None: ...
    def insert(self, bridge: str) -> None: ...
    def remove(self, rule: str) -> None: ...


class _OverNftables:
    """What iptables-nft and nft's own `ip filter` table have."""

    _CHAIN = ("ip", "filter", "FORWARD")

    def look(self, bridge: str) -> Chain | None:
        try:
            listed = programs.run("nft", "-j", "list", "chain", *self._CHAIN)
        except programs.ProgramError:
            return None
        return read_nft(json.loads(listed)["nftables"], bridge)

    def insert(self, bridge: str) -> None:
        rule = f'iifname "{bridge}" oifname "{bridge}" counter accept comment "{_tag(bridge)}"'
        nft.load(f"insert rule {' '.join(self._CHAIN)} {rule}\n")

    def remove(self, rule: str) -> None:
        nft.load(f"delete rule {' '.join(self._CHAIN)} handle {rule}\n")


class _Legacy:
    """What iptables-legacy has."""

    def look(self, bridge: str) -> Chain | None:
        # The program would make the table where nobody uses it.
        if not _LEGACY_TABLES.exists() or "filter" not in _LEGACY_TABLES.read_text().split():
            return None
        return read_legacy(self._run("-S", "FORWARD"), bridge)

    def insert(self, bridge: str) -> None:
        spec = ("-i", bridge, "-o", bridge, "-m", "comment", "--comment", _tag(bridge))
        self._run("-I", "FORWARD", *spec, "-j", "ACCEPT")

    def remove(self, rule: str) -> None:
        self._run("-D", *shlex.split(rule))

    @staticmethod
    def _run(*arguments: str) -> str:
        # Others' changes at the same time would be lost: its lock is the node's.
        return programs.run("iptables-legacy", "--wait", _LOCK_SECONDS, *arguments)


_VARIANTS: tuple[_Variant, ...] = (_OverNftables(), _Legacy())


def read_nft(listed: list[dict[str, Any]], bridge: str) -> Chain:
    """Read the chain from what nft lists of it as JSON."""
    policies = [item["chain"].get("policy") for item in listed if "chain" in item]
    rules = [item["rule"] for item in listed if "rule" in item]
    handles = [str(rule["handle"]) for rule in rules if rule.get("comment") == _tag(bridge)]
    return Chain("drop" in policies, handles[0] if handles else None)


def read_legacy(listed: str, bridge: str) -> Chain:
    """Read the chain from what `iptables-legacy -S FORWARD` lists."""
    lines = listed.splitlines()
    ours = [line for line in lines if _tag(bridge) in shlex.split(line)]
    rule = ours[0].removeprefix("-A ") if ours else None
    return Chain("-P FORWARD DROP" in lines, rule)


def _tag(bridge: str) -> str:
    return f"piavpn {bridge}"
