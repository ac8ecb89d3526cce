from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from piavpn.node import mesh, meshfilter, mtus

ONE, TWO, THREE = (IPv4Address(text) for text in ("192.0.2.1", "192.0.2.2", "198.51.100.3"))
KEYS = {THREE: "THREE=", ONE: "ONE=", TWO: "TWO="}


def test_a_nodes_address_in_the_mesh_follows_from_its_own() -> None:
    assert mesh.address_of(IPv4Address("192.0.2.1")) == IPv6Address("fd76:706e::c000:201")
    assert mesh.address_of(IPv4Address("255.255.255.255")) == IPv6Address("fd76:706e::ffff:ffff")


def test_the_link_leads_to_every_other_node_whose_key_is_known() -> None:
    assert mesh.plan(ONE, KEYS, uplink=1500) == mesh.Mesh(
        address=IPv6Address("fd76:706e::c000:201"),
        mtu=1440,
        peers=(mesh.Peer(TWO, "TWO="), mesh.Peer(THREE, "THREE=")),
    )


def test_a_node_whose_own_key_is_not_published_yet_has_its_link() -> None:
    assert mesh.plan(ONE, {TWO: "TWO="}, uplink=1500).peers == (mesh.Peer(TWO, "TWO="),)


def test_a_peer_has_the_address_that_is_its_nodes() -> None:
    assert mesh.Peer(THREE, "THREE=").address == IPv6Address("fd76:706e::c633:6403")


def test_vxlan_with_a_vpns_largest_packet_fits_in_the_link_and_that_in_the_uplink() -> None:
    inner_headers = 40 + 8 + 8 + 14  # IPv6, UDP, VXLAN, Ethernet
    outer_headers = 20 + 8 + 32  # IPv4, UDP, WireGuard
    planned = mesh.plan(ONE, KEYS, uplink=1500)
    assert mtus.of_encrypted(1500) == 1370
    assert mtus.of_encrypted(1500) + inner_headers == planned.mtu
    assert planned.mtu + outer_headers == 1500


def test_nothing_but_vxlan_goes_by_the_link_and_to_its_addresses_nothing_by_another() -> None:
    assert (
        meshfilter.ruleset()
        == """\
table inet piavpn_nodes
delete table inet piavpn_nodes
table inet piavpn_nodes {
  counter dropped { }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "piavpn-nodes" udp dport 14789 accept
    iifname "piavpn-nodes" counter name dropped drop
    iifname != "lo" ip6 daddr fd76:706e::/96 counter name dropped drop
  }
  chain forwarded {
    type filter hook forward priority filter; policy accept;
    iifname "piavpn-nodes" counter name dropped drop
    oifname "piavpn-nodes" counter name dropped drop
    ip6 daddr fd76:706e::/96 counter name dropped drop
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "piavpn-nodes" udp dport 14789 accept
    oifname "piavpn-nodes" counter name dropped drop
    oifname != "lo" ip6 daddr fd76:706e::/96 counter name dropped drop
  }
}
"""
    )
