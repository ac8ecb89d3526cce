"""What the gate reads in the kernel's tables."""

from __future__ import annotations

from piavpn.gate import proc

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
CONFINED = (
    HEADER + "vpn0\t00000000\t0200640A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "vpn0\t0000640A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t0000F40A\t0100F40A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)


def test_the_default_route_has_its_link_and_next_hop() -> None:
    assert proc.ipv4_default_routes(CONFINED) == [("vpn0", "10.100.0.2")]


def test_a_second_default_route_is_seen() -> None:
    second = "eth0\t00000000\t0100F40A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    assert proc.ipv4_default_routes(CONFINED + second) == [
        ("vpn0", "10.100.0.2"),
        ("eth0", "10.244.0.1"),
    ]


def test_a_default_route_without_next_hop_is_seen() -> None:
    onlink = HEADER + "eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
    assert proc.ipv4_default_routes(onlink) == [("eth0", "0.0.0.0")]


def test_an_unreachable_default_route_is_no_way_out() -> None:
    reject = HEADER + "*\t00000000\t00000000\t0200\t0\t0\t4000000000\t00000000\t0\t0\t0\n"
    assert proc.ipv4_default_routes(reject) == []


def test_no_routes_at_all_are_no_default_route() -> None:
    assert proc.ipv4_default_routes("") == []
    assert proc.ipv4_default_routes(HEADER) == []


ZERO = "0" * 32


def test_an_ipv6_default_route_is_seen() -> None:
    table = (
        f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003"
        "     eth0\n"
        f"fe800000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001"
        "     eth0\n"
    )
    assert proc.ipv6_default_links(table) == ["eth0"]


def test_the_kernels_own_ipv6_reject_entry_is_no_way_out() -> None:
    table = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
    assert proc.ipv6_default_links(table) == []
