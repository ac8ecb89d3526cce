"""Who gets which subnet, and which address in it."""

from __future__ import annotations

from controller_samples import CLUSTER_CIDRS, IP, NET, NETWORK, holding, service, vpn

from piavpn.api import piavpns, vpnapps
from piavpn.api.conditions import Status
from piavpn.controller import model, network

WEB, OLD, YOUNG = ("media", "web"), ("media", "old"), ("media", "young")


def refused(reason: str, message: str) -> model.Verdict:
    return model.Verdict(Status.FALSE, reason, message)


# Subnets


def test_the_first_vpn_gets_10_100_0_0() -> None:
    assert network.choose_subnet(vpn(), (), CLUSTER_CIDRS, {}) == NET("10.100.0.0/24")


def test_the_next_vpn_gets_the_next_24() -> None:
    others = (vpn("first", status=holding(NET("10.100.0.0/24"))),)
    assert network.choose_subnet(vpn(), others, CLUSTER_CIDRS, {}) == NET("10.100.1.0/24")


def test_kubeadm_s_service_range_which_holds_10_100_is_skipped() -> None:
    kubeadm = (NET("10.244.0.0/16"), NET("10.96.0.0/12"))
    assert network.choose_subnet(vpn(), (), kubeadm, {}) == NET("10.112.0.0/24")


def test_a_subnet_that_was_given_is_kept_though_an_earlier_one_is_free_now() -> None:
    mine = vpn(status=holding(NET("10.100.7.0/24")))
    assert network.choose_subnet(mine, (), CLUSTER_CIDRS, {}) == NET("10.100.7.0/24")


def test_a_subnet_that_is_asked_for_is_given() -> None:
    mine = vpn(subnet=NET("192.168.77.0/28"))
    assert network.choose_subnet(mine, (), CLUSTER_CIDRS, {}) == NET("192.168.77.0/28")


def test_a_subnet_that_overlaps_the_cluster_s_is_refused_with_its_name() -> None:
    mine = vpn(subnet=NET("10.244.3.0/24"))
    assert network.choose_subnet(mine, (), CLUSTER_CIDRS, {}) == refused(
        "SubnetOverlaps",
        "subnet 10.244.3.0/24 overlaps the cluster's 10.244.0.0/16: set spec.network.subnet to a "
        "range that is used nowhere in the cluster, or leave it out to have one chosen",
    )


def test_a_given_subnet_that_the_cluster_grew_into_is_refused() -> None:
    mine = vpn(status=holding(NET("10.100.0.0/24")))
    found = network.choose_subnet(mine, (), (NET("10.100.0.0/16"),), {})
    assert isinstance(found, model.Verdict)
    assert found.reason == "SubnetOverlaps"


def test_a_subnet_that_another_vpn_has_is_refused_with_that_vpn_s_name() -> None:
    mine = vpn(subnet=NET("10.200.0.0/16"))
    others = (vpn("downloads", status=holding(NET("10.200.0.0/24"))),)
    found = network.choose_subnet(mine, others, CLUSTER_CIDRS, {})
    assert isinstance(found, model.Verdict)
    assert found.message.startswith(
        "subnet 10.200.0.0/16 overlaps 10.200.0.0/24 of PiaVpn downloads: "
    )


def test_of_two_new_vpns_that_ask_for_one_subnet_exactly_one_gets_it() -> None:
    same = NET("10.200.0.0/24")
    first, second = vpn("a", subnet=same), vpn("b", subnet=same)
    assert network.choose_subnet(first, (second,), CLUSTER_CIDRS, {}) == same
    found = network.choose_subnet(second, (first,), CLUSTER_CIDRS, {})
    assert isinstance(found, model.Verdict)
    assert "10.200.0.0/24 of PiaVpn a" in found.message


def test_who_has_a_subnet_keeps_it_when_another_asks_for_it() -> None:
    mine = vpn("z", status=holding(NET("10.200.0.0/24")))
    others = (vpn("a", subnet=NET("10.200.0.0/24")),)
    assert network.choose_subnet(mine, others, CLUSTER_CIDRS, {}) == NET("10.200.0.0/24")


def test_a_vpn_without_wishes_leaves_alone_what_an_earlier_one_asked_for() -> None:
    others = (vpn("a", subnet=NET("10.100.0.0/24")),)
    assert network.choose_subnet(vpn("b"), others, CLUSTER_CIDRS, {}) == NET("10.100.1.0/24")


def test_when_no_24_is_free_the_vpn_is_told_to_name_one() -> None:
    assert network.choose_subnet(vpn(), (), (NET("10.0.0.0/8"),), {}) == refused(
        "NoFreeSubnet",
        "no /24 between 10.100.0.0/24 and 10.199.255.0/24 is free: set spec.network.subnet",
    )


def test_the_node_has_the_subnet_s_first_address_and_the_gateway_the_second() -> None:
    assert network.of_subnet("home", NET("10.200.0.0/24")) == piavpns.NetworkStatus(
        subnet=NET("10.200.0.0/24"),
        bridge="br-home",
        host_address=IP("10.200.0.1"),
        gateway_address=IP("10.200.0.2"),
    )


def test_a_subnet_in_which_an_app_of_a_deleted_vpn_still_runs_is_not_given_away() -> None:
    pods = {IP("10.100.0.10"): "gone", IP("10.100.1.10"): "gone"}
    assert network.choose_subnet(vpn(), (), CLUSTER_CIDRS, pods) == NET("10.100.2.0/24")


def test_nor_is_it_given_to_who_asks_for_it() -> None:
    mine = vpn(subnet=NET("10.200.0.0/24"))
    pods = {IP("10.200.0.10"): "gone"}
    assert network.choose_subnet(mine, (), CLUSTER_CIDRS, pods) == refused(
        "SubnetOverlaps",
        "subnet 10.200.0.0/24 overlaps 10.200.0.10 of an app of PiaVpn gone that still runs: "
        "set spec.network.subnet to a range that is used nowhere in the cluster, or leave it out "
        "to have one chosen",
    )


def test_who_has_a_subnet_keeps_it_whatever_pods_say() -> None:
    mine = vpn(status=holding(NET("10.100.0.0/24")))
    found = network.choose_subnet(mine, (), CLUSTER_CIDRS, {IP("10.100.0.66"): "gone"})
    assert found == NET("10.100.0.0/24")


# Addresses


def test_addresses_are_given_from_the_tenth_up_to_the_oldest_first() -> None:
    services = (service("young", age=1), service("old", age=2))
    assert network.allocate(NETWORK, services, {}) == {
        OLD: IP("10.100.0.10"),
        YOUNG: IP("10.100.0.11"),
    }


def test_an_address_that_is_held_is_kept_though_a_lower_one_is_free() -> None:
    services = (service(address="10.100.0.30"),)
    assert network.allocate(NETWORK, services, {}) == {WEB: IP("10.100.0.30")}


def test_an_address_that_is_asked_for_is_given() -> None:
    services = (service(ip="10.100.0.77"),)
    assert network.allocate(NETWORK, services, {}) == {WEB: IP("10.100.0.77")}


def test_an_automatic_address_goes_round_a_fixed_one_whatever_their_ages() -> None:
    services = (service("old", age=2), service("young", ip="10.100.0.10", age=1))
    assert network.allocate(NETWORK, services, {}) == {
        OLD: IP("10.100.0.11"),
        YOUNG: IP("10.100.0.10"),
    }


def test_of_two_that_ask_for_one_address_the_older_wins_and_the_other_is_told_of_it() -> None:
    services = (
        service("young", ip="10.100.0.20", age=1),
        service("old", ip="10.100.0.20", age=2),
    )
    assert network.allocate(NETWORK, services, {}) == {
        OLD: IP("10.100.0.20"),
        YOUNG: refused(
            "AddressTaken", "10.100.0.20 is held by media/old: set spec.ip to another address"
        ),
    }


def test_the_refused_one_takes_over_when_the_holder_is_gone() -> None:
    services = (service("young", ip="10.100.0.20", age=1),)
    assert network.allocate(NETWORK, services, {}) == {YOUNG: IP("10.100.0.20")}


def test_it_waits_while_the_pod_of_the_gone_holder_lives() -> None:
    services = (service("young", ip="10.100.0.20", age=1),)
    assert network.allocate(NETWORK, services, {IP("10.100.0.20"): OLD}) == {
        YOUNG: refused(
            "AddressTaken", "10.100.0.20 is held by media/old: set spec.ip to another address"
        ),
    }


def test_an_older_one_that_asks_later_does_not_take_a_held_address_away() -> None:
    services = (
        service("young", address="10.100.0.20", age=1),
        service("old", ip="10.100.0.20", age=2),
    )
    found = network.allocate(NETWORK, services, {})
    assert found[YOUNG] == IP("10.100.0.20")
    assert found[OLD] == refused(
        "AddressTaken", "10.100.0.20 is held by media/young: set spec.ip to another address"
    )


def test_an_address_whose_pod_still_lives_is_given_to_no_other() -> None:
    found = network.allocate(NETWORK, (service(),), {IP("10.100.0.10"): OLD})
    assert found == {WEB: IP("10.100.0.11")}


ONE, TWO = ("media", "one"), ("media", "two")


def swapping(one: str, two: str) -> tuple[vpnapps.VpnServiceContainer, vpnapps.VpnServiceContainer]:
    """Return two that ask for 10.100.0.11 and 10.100.0.10, and hold these addresses now."""
    return (
        service("one", ip="10.100.0.11", address=one, age=2),
        service("two", ip="10.100.0.10", address=two, age=1),
    )


def test_two_that_swap_their_addresses_do_not_wait_for_each_other() -> None:
    pods = {IP("10.100.0.10"): ONE, IP("10.100.0.11"): TWO}
    # One of them steps aside,
    aside = {ONE: IP("10.100.0.12"), TWO: IP("10.100.0.11")}
    assert network.allocate(NETWORK, swapping("10.100.0.10", "10.100.0.11"), pods) == aside
    # also while its old pod ends;
    assert network.allocate(NETWORK, swapping("10.100.0.12", "10.100.0.11"), pods) == aside
    # once that is gone, the other takes its place,
    pods = {IP("10.100.0.12"): ONE, IP("10.100.0.11"): TWO}
    assert network.allocate(NETWORK, swapping("10.100.0.12", "10.100.0.11"), pods) == {
        ONE: IP("10.100.0.12"),
        TWO: IP("10.100.0.10"),
    }
    # and at last it gets what it asked for.
    pods = {IP("10.100.0.12"): ONE, IP("10.100.0.10"): TWO}
    assert network.allocate(NETWORK, swapping("10.100.0.12", "10.100.0.10"), pods) == {
        ONE: IP("10.100.0.11"),
        TWO: IP("10.100.0.10"),
    }


def test_who_waits_for_one_that_leaves_keeps_its_address_until_then() -> None:
    services = (
        service("one", ip="10.100.0.11", address="10.100.0.10", age=2),
        service("two", ip="10.100.0.50", address="10.100.0.11", age=1),
    )
    pods = {IP("10.100.0.10"): ONE, IP("10.100.0.11"): TWO}
    assert network.allocate(NETWORK, services, pods) == {
        ONE: IP("10.100.0.10"),
        TWO: IP("10.100.0.50"),
    }


def test_who_asks_for_the_address_of_one_that_stays_is_refused() -> None:
    services = (
        service("one", ip="10.100.0.11", address="10.100.0.10", age=2),
        service("two", address="10.100.0.11", age=1),
    )
    pods = {IP("10.100.0.10"): ONE, IP("10.100.0.11"): TWO}
    assert network.allocate(NETWORK, services, pods) == {
        ONE: refused(
            "AddressTaken", "10.100.0.11 is held by media/two: set spec.ip to another address"
        ),
        TWO: IP("10.100.0.11"),
    }


def test_a_service_keeps_the_address_of_its_own_pod() -> None:
    pods = {IP("10.100.0.10"): WEB}
    assert network.allocate(NETWORK, (service(address="10.100.0.10"),), pods) == {
        WEB: IP("10.100.0.10")
    }


def test_it_does_so_when_its_status_was_lost() -> None:
    pods = {IP("10.100.0.10"): OLD, IP("10.100.0.11"): WEB, IP("10.200.0.10"): WEB}
    assert network.allocate(NETWORK, (service(),), pods) == {WEB: IP("10.100.0.11")}


def test_a_held_address_of_another_subnet_is_left_for_one_of_this() -> None:
    services = (service(address="10.200.0.10"),)
    assert network.allocate(NETWORK, services, {}) == {WEB: IP("10.100.0.10")}


def test_an_address_outside_the_subnet_is_refused_with_the_range_to_choose_from() -> None:
    found = network.allocate(NETWORK, (service(ip="10.101.0.10"),), {})
    assert found[WEB] == refused(
        "AddressOutsideSubnet",
        "10.101.0.10 is not in the VPN's subnet 10.100.0.0/24: set spec.ip to an address between "
        "10.100.0.3 and 10.100.0.254, or leave it out to have one chosen",
    )


def test_the_node_s_the_gateway_s_and_the_subnet_s_own_addresses_are_refused() -> None:
    for reserved in ("10.100.0.0", "10.100.0.1", "10.100.0.2", "10.100.0.255"):
        found = network.allocate(NETWORK, (service(ip=reserved),), {})
        assert found[WEB] == refused(
            "AddressReserved",
            f"{reserved} is the subnet's own, the bridge's or the gateway's: set spec.ip to an "
            "address between 10.100.0.3 and 10.100.0.254",
        )


def test_the_addresses_next_to_the_reserved_ones_can_be_asked_for() -> None:
    for usable in ("10.100.0.3", "10.100.0.254"):
        found = network.allocate(NETWORK, (service(ip=usable),), {})
        assert found == {WEB: IP(usable)}


def test_a_full_subnet_serves_all_it_can_and_refuses_the_youngest() -> None:
    small = network.of_subnet("home", NET("10.100.0.0/28"))
    services = [service(f"app-{age}", age=age) for age in range(6)]
    found = network.allocate(small, services, {})
    assert found.pop(("media", "app-0")) == refused(
        "NoFreeAddress",
        "every address of 10.100.0.0/28 is in use: delete apps of this VPN, or make another "
        "PiaVpn with a larger spec.network.subnet",
    )
    assert sorted(map(str, found.values())) == [f"10.100.0.{last}" for last in range(10, 15)]
