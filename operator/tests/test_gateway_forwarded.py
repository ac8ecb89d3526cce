"""Which of the forwarded port's packets go to which app."""

from __future__ import annotations

import ipaddress

from port_objects import APP

from piavpn.api.gateway_config import PortForwarding
from piavpn.api.protocols import ForwardedProtocol, Protocol
from piavpn.gateway import forwarded
from piavpn.gateway.forwarded import Way


def test_a_port_goes_to_the_same_number_of_the_receiver() -> None:
    assert forwarded.ways(PortForwarding(APP), [45678]) == {
        Way(Protocol.TCP, 45678, APP, 45678),
        Way(Protocol.UDP, 45678, APP, 45678),
    }


def test_or_to_a_fixed_one_by_one_protocol() -> None:
    wanted = PortForwarding(APP, ForwardedProtocol.UDP, 6881)
    assert forwarded.ways(wanted, [45678]) == {Way(Protocol.UDP, 45678, APP, 6881)}


def test_no_receiver_has_no_ways() -> None:
    assert forwarded.ways(None, [45678]) == frozenset()


def test_the_map_is_replaced_in_one_transaction() -> None:
    wanted = forwarded.ways(PortForwarding(APP, port=6881), [45678, 23456])
    assert forwarded.update(wanted, {ipaddress.IPv4Address("198.18.11.1")}) == (
        "flush map inet piavpn forwarded\n"
        "flush set inet piavpn exits\n"
        "add element inet piavpn exits { 198.18.11.1 }\n"
        "add element inet piavpn forwarded { tcp . 23456 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { udp . 23456 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { tcp . 45678 : 10.100.0.10 . 6881 }\n"
        "add element inet piavpn forwarded { udp . 45678 : 10.100.0.10 . 6881 }\n"
    )
