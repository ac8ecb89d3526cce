"""What may go past the tunnel, and what the operator refuses of it."""

from __future__ import annotations

import dataclasses

from controller_samples import NET, NETWORK, SUBNET, holding, seen, service, vpn

from piavpn.api import piavpns, vpnapps
from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import decide, model, network

LAN = NET("192.168.1.0/24")


def bypassing(*cidrs: str, status: piavpns.PiaVpnStatus | None = None) -> piavpns.PiaVpn:
    made = vpn(status=status)
    return dataclasses.replace(
        made, spec=dataclasses.replace(made.spec, bypass_cidrs=tuple(map(NET, cidrs)))
    )


def app(*cidrs: str) -> vpnapps.VpnServiceContainer:
    made = service()
    return dataclasses.replace(
        made, spec=dataclasses.replace(made.spec, bypass_cidrs=tuple(map(NET, cidrs)))
    )


def test_a_lan_may_be_bypassed_to() -> None:
    decision = decide.decide(
        seen(vpn=bypassing(str(LAN), status=holding(SUBNET)), services=(app("192.168.7.9/32"),))
    )
    assert decision.verdicts[PiaVpnCondition.ACCEPTED].holds
    assert decision.services[0].accepted.holds


def test_a_subnet_is_chosen_beside_what_is_bypassed_to() -> None:
    chosen = network.choose_subnet(bypassing("10.100.0.0/23"), (), (), {})
    assert chosen == NET("10.100.2.0/24")


def test_a_vpn_that_would_bypass_to_its_own_network_is_refused() -> None:
    decision = decide.decide(seen(vpn=bypassing("10.100.0.0/16", status=holding(SUBNET))))
    assert decision.verdicts[PiaVpnCondition.ACCEPTED] == model.Verdict(
        Status.FALSE,
        "BypassOverlaps",
        "10.100.0.0/16 of spec.bypassCIDRs overlaps the VPN's own network 10.100.0.0/24: take it "
        "out, or name the parts that do not",
    )
    assert decision.network == NETWORK


def test_so_is_an_app() -> None:
    decision = decide.decide(seen(services=(app("10.100.0.2/32"),)))
    assert decision.verdicts[PiaVpnCondition.ACCEPTED].holds
    assert decision.services[0].accepted.reason == "BypassOverlaps"
