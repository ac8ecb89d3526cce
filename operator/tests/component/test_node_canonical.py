from __future__ import annotations

import pytest
from pyroute2 import NetlinkError

from piavpn.node.canonical import Canonical

RULESET = """
table netdev one
delete table netdev one
table netdev one {
  chain incoming {
    type filter hook ingress devices = { "veth5" } priority -150; policy accept;
    meta protocol ip6 drop
  }
}
"""
TOO_LONG = "a-name-of-more-than-15-characters"


def test_a_link_that_cannot_be_made_is_not_in_the_way_of_the_next_listing() -> None:
    known = Canonical()
    with pytest.raises((NetlinkError, ValueError)):
        known.listing("netdev one", RULESET, ("veth5", TOO_LONG))
    assert '"veth5"' in known.listing("netdev one", RULESET, ("veth5",))
