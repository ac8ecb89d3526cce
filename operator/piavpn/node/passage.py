"""Let traffic within a bridge pass where br_netfilter hands it to iptables' FORWARD chain.

Docker and others set that chain's policy to drop. An accept in a table of ours cannot undo another
table's drop, so the rule goes into that very chain, and away with the bridge. Only iptables over
nftables is known here.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from piavpn.net import nft, programs

_SWITCH = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_CHAIN = ("ip", "filter", "FORWARD")


def open_(bridge: str) -> None:
    """Add the rule where it is needed and not there.

    Raises:
        NftError: nft refused.
    """
    chain = _listed()
    if chain and _is_on() and _policy(chain) == "drop" and _handle(chain, bridge) is None:
        rule = f'iifname "{bridge}" oifname "{bridge}" counter accept comment "{_tag(bridge)}"'
        nft.load(f"insert rule {' '.join(_CHAIN)} {rule}\n")


def close(bridge: str) -> None:
    """Remove the rule where it is.

    Raises:
        NftError: nft refused.
    """
    handle = _handle(_listed(), bridge)
    if handle is not None:
        nft.load(f"delete rule {' '.join(_CHAIN)} handle {handle}\n")


def _is_on() -> bool:
    return _SWITCH.exists() and _SWITCH.read_text().strip() == "1"


def _tag(bridge: str) -> str:
    return f"piavpn {bridge}"


def _listed() -> list[dict[str, Any]]:
    """Return the chain and its rules; nothing where there is no such chain."""
    try:
        listed = programs.run("nft", "-j", "list", "chain", *_CHAIN)
    except programs.ProgramError:
        return []
    items: list[dict[str, Any]] = json.loads(listed)["nftables"]
    return items


def _policy(chain: list[dict[str, Any]]) -> str | None:
    return next((item["chain"].get("policy") for item in chain if "chain" in item), None)


def _handle(chain: list[dict[str, Any]], bridge: str) -> int | None:
    rules = (item["rule"] for item in chain if "rule" in item)
    return next((rule["handle"] for rule in rules if rule.get("comment") == _tag(bridge)), None)
