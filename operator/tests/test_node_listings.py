from __future__ import annotations

import pytest

from piavpn.node import listings

RULESET = """\
table netdev t
delete table netdev t
table netdev t {
  set own { type ifname . ipv4_addr; elements = { "a" . 10.0.0.1, "b" . 10.0.0.2 }; }
  set none { type ipv4_addr; }
  set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
  chain c {
    type filter hook ingress devices = { "a", "b" } priority -150; policy accept;
    tcp dport { 53, 853 } drop
  }
}
"""


def test_a_rule_set_s_shape_has_no_plain_set_s_elements_and_one_link() -> None:
    parts = listings.take_apart(RULESET)
    assert parts.elements == {
        "own": frozenset({'"a" . 10.0.0.1', '"b" . 10.0.0.2'}),
        "hooks": frozenset({"a", "b"}),
    }
    assert (
        parts.shape
        == """\
table netdev t
delete table netdev t
table netdev t {
  set own { type ifname . ipv4_addr; }
  set none { type ipv4_addr; }
  set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
  chain c {
    type filter hook ingress devices = { "piavpn-any" } priority -150; policy accept;
    tcp dport { 53, 853 } drop
  }
}
"""
    )


@pytest.mark.parametrize("links", ["devices = { b, a }", 'devices = { "a", "b" }'])
def test_elements_are_the_same_in_whatever_order_and_on_however_many_lines(links: str) -> None:
    listed = f"""
        set own {{
                type ifname . ipv4_addr
                elements = {{ "b" . 10.0.0.2,
                     "a" . 10.0.0.1 }}
        }}
                type filter hook ingress {links} priority -150; policy accept;
"""
    assert listings.take_apart(listed).elements == listings.take_apart(RULESET).elements


def test_a_hook_on_one_link_is_read_as_nft_lists_it() -> None:
    parts = listings.take_apart('type filter hook ingress device "a" priority -150;')
    assert parts.elements == {"hooks": frozenset({"a"})}
    assert parts.shape == 'type filter hook ingress devices = { "piavpn-any" } priority -150;'
