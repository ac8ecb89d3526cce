"""Names fit where Kubernetes and Linux put them, whatever the VPN is called."""

import pytest

from piavpn.api import names

LENGTHS = range(1, 38)
"""Every length that the CRD allows the name of a PiaVpn."""


@pytest.mark.parametrize("length", LENGTHS)
def test_a_bridge_s_name_fits_linux_and_ends_in_no_hyphen(length: int) -> None:
    name = names.bridge_name("v" * length)
    assert name.startswith("br-v")
    assert 4 <= len(name) <= 15
    assert not name.endswith("-")


@pytest.mark.parametrize(
    ("vpn", "bridge"),
    [
        ("home", "br-home"),
        ("twelve-chars", "br-twelve-chars"),
        ("thirteen-char", "br-thirte-3adc6"),
    ],
)
def test_a_bridge_s_name_is_readable_where_it_fits_and_cut_where_not(vpn: str, bridge: str) -> None:
    assert names.bridge_name(vpn) == bridge


def test_long_names_that_begin_alike_give_different_bridges() -> None:
    vpns = [f"a-rather-long-name-{number}" for number in range(100)]
    assert len({names.bridge_name(vpn) for vpn in vpns}) == 100


@pytest.mark.parametrize(
    ("vpn", "link"), [("home", "vx-home"), ("thirteen-char", "vx-thirte-3adc6")]
)
def test_the_link_to_other_nodes_is_called_as_its_bridge_is(vpn: str, link: str) -> None:
    assert names.overlay_name(vpn) == link


@pytest.mark.parametrize("length", LENGTHS)
def test_a_gateway_s_name_leaves_room_for_its_pod_and_its_revision(length: int) -> None:
    name = names.gateway_name("v" * length)
    assert len(f"{name}-0") <= 63
    assert len(f"{name}-{'f' * 10}") <= 63


def test_objects_are_named_after_what_they_are_for() -> None:
    assert names.gateway_name("home") == "piavpn-gateway-home"
    assert names.account_name("pia-credentials") == "piavpn-account-pia-credentials"


def test_credentials_under_other_keys_of_a_secret_have_an_account_of_their_own() -> None:
    one = names.account_name("pia", "user-a", "password-a")
    other = names.account_name("pia", "user-b", "password-b")
    assert len({one, other, names.account_name("pia")}) == 3
    assert len(names.account_name("s" * 238, "user-a", "password-a")) == 253


def test_each_vpn_has_a_directory_of_sockets_of_its_own() -> None:
    assert names.wireguard_directory("home") == "/run/piavpn/home/wireguard"
    assert names.wireguard_directory("home") != names.wireguard_directory("work")


def test_each_role_writes_under_a_name_of_its_own() -> None:
    managers = {names.MANAGER_OPERATOR, names.MANAGER_GATEWAY, names.MANAGER_NODE_AGENT}
    assert managers == {"piavpn-operator", "piavpn-gateway", "piavpn-node-agent"}
