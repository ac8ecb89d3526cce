from __future__ import annotations

from typing import Any

from piavpn.node import passage
from piavpn.node.passage import Chain

NFT: list[dict[str, Any]] = [
    {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "policy": "drop"}},
    {"rule": {"handle": 4, "comment": "piavpn br-other"}},
    {"rule": {"handle": 7, "comment": "piavpn br-home"}},
    {"rule": {"handle": 8}},
]
LEGACY = """\
-P FORWARD DROP
-A FORWARD -i br-homes -o br-homes -m comment --comment "piavpn br-homes" -j ACCEPT
-A FORWARD -i br-home -o br-home -m comment --comment "piavpn br-home" -j ACCEPT
-A FORWARD -i docker0 -m comment --comment "it\\'s docker\\'s" -j ACCEPT
"""


def test_a_bridges_own_rule_is_found_in_the_chain_over_nftables() -> None:
    assert passage.read_nft(NFT, "br-home") == Chain(drops=True, rule="7")
    assert passage.read_nft(NFT, "br-new") == Chain(drops=True, rule=None)
    assert passage.read_nft([{"chain": {"policy": "accept"}}], "br-home") == Chain(
        drops=False, rule=None
    )


def test_a_bridges_own_rule_is_found_in_the_legacy_chain() -> None:
    rule = 'FORWARD -i br-home -o br-home -m comment --comment "piavpn br-home" -j ACCEPT'
    assert passage.read_legacy(LEGACY, "br-home") == Chain(drops=True, rule=rule)
    assert passage.read_legacy(LEGACY, "br-new") == Chain(drops=True, rule=None)
    assert passage.read_legacy("-P FORWARD ACCEPT\n", "br-home") == Chain(drops=False, rule=None)
