"""What is decided about pods that users make themselves, with a VPN's label."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from controller_decisions import false, true
from controller_samples import CONFIG, IP, NET, SUBNET, holding, seen, service, vpn

from piavpn.api import gateway_config, protocols, selectors, vpnapps
from piavpn.controller import decide, labelled, model

BOTH = protocols.ForwardedProtocol.BOTH
RECEIVE = "piavpn.dev/receive-forwarded-port"
MADE_ANEW = [{"kind": "ReplicaSet", "name": "crawler-1", "uid": "uid-of-set", "controller": True}]
CREATED = "2026-11-23T11:00:0{}Z"


def pod(  # noqa: PLR0913 - what a test may want of it
    name: str,
    address: str = "",
    *,
    age: int = 0,
    node: str = "n1",
    receives: str = "",
    namespace: str = "media",
    **metadata: Any,
) -> model.Object:
    """Return a labelled pod: `address` is held, `age` is in seconds up to 9."""
    annotations = {"piavpn.dev/address": address} if address else {}
    if receives:
        annotations[RECEIVE] = receives
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "creationTimestamp": CREATED.format(9 - age),
            "labels": {"piavpn.dev/vpn": "home"},
            "annotations": annotations,
            **metadata,
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Pending"},
    }


def decided(*pods: model.Object, **changes: Any) -> dict[str, model.LabelledDecision]:
    decision = decide.decide(seen(labelled_pods=pods, **changes))
    return {it.pod["metadata"]["name"]: it for it in decision.labelled}


def addresses(found: dict[str, model.LabelledDecision]) -> dict[str, str]:
    return {name: str(it.address) for name, it in found.items()}


def forwarded(*pods: model.Object, **changes: Any) -> gateway_config.PortForwarding | None:
    gateway = decide.decide(seen(labelled_pods=pods, **changes)).gateway
    assert gateway is not None
    return gateway.port_forwarding


def test_each_pod_gets_an_address_that_nobody_has() -> None:
    app = service("web", address="10.100.0.10")
    fixed = service("fixed", ip="10.100.0.12")

    found = decided(pod("old", "10.100.0.14"), pod("a"), pod("b"), pod("c"), services=(app, fixed))

    assert addresses(found) == {
        "old": "10.100.0.14",
        "a": "10.100.0.11",
        "b": "10.100.0.13",
        "c": "10.100.0.15",
    }
    assert {it.accepted for it in found.values()} == {true("Accepted")}


def test_an_app_gets_no_address_that_a_labelled_pod_has() -> None:
    found = decide.decide(
        seen(
            labelled_pods=(pod("a", "10.100.0.10"), pod("b", "10.100.0.20")),
            services=(service("web"), service("fixed", ip="10.100.0.20")),
        )
    )
    web, fixed = found.services
    assert web.address == IP("10.100.0.11")
    assert fixed.accepted == false(
        "AddressTaken",
        "10.100.0.20 is held by pod media/b: set spec.ip to another address",
    )
    assert [it.address for it in found.labelled] == [IP("10.100.0.10"), IP("10.100.0.20")]


def test_a_new_pod_gets_no_address_of_an_app_that_was_deleted_and_still_ends() -> None:
    ending = pod("web-0", "10.100.0.10", deletionTimestamp=CREATED.format(9))
    found = decided(pod("new"), services=(), service_pods={("media", "web"): ending})
    assert addresses(found) == {"new": "10.100.0.11"}


def test_a_pod_without_a_free_address_is_told() -> None:
    small = NET("10.100.0.0/28")
    pods = [pod(f"p{n}", f"10.100.0.{n}") for n in range(10, 15)]
    found = decided(*pods, pod("late"), vpn=vpn(status=holding(small), subnet=small))
    assert found["late"].address is None
    assert found["late"].accepted == false(
        "NoFreeAddress",
        "every address of 10.100.0.0/28 is in use: delete apps of this VPN, or make another "
        "PiaVpn with a larger spec.network.subnet",
    )


def test_of_two_pods_with_one_address_the_older_keeps_it() -> None:
    found = decided(
        pod("older", "10.100.0.10", age=5),
        pod("younger", "10.100.0.10", ownerReferences=MADE_ANEW),
    )
    assert (found["older"].address, found["older"].ends) == (IP("10.100.0.10"), False)
    assert (found["younger"].address, found["younger"].ends) == (None, True)
    assert found["younger"].accepted == false(
        "AddressTaken",
        "10.100.0.10 is held by pod media/older: delete the pod to have it made anew",
    )


def test_a_pod_on_another_node_than_its_gateway_is_one_like_all_others() -> None:
    found = decided(pod("afar", node="n2"))["afar"]
    assert found.accepted.holds
    assert (str(found.address), found.ends) == ("10.100.0.10", False)


def test_a_pod_of_a_subnet_that_is_no_more_is_made_anew() -> None:
    found = decided(pod("old", "10.107.0.10", ownerReferences=MADE_ANEW))["old"]
    assert found.ends
    assert found.accepted == false(
        "AddressOutsideSubnet",
        "the pod has 10.107.0.10, and the VPN's subnet is 10.100.0.0/24 now: delete the pod to "
        "have it made anew",
    )


def test_a_pod_of_a_namespace_that_is_not_allowed_is_ended_and_a_new_one_gets_nothing() -> None:
    tunnel = vpn(status=holding(SUBNET))
    allowed = selectors.LabelSelector(match_labels={"vpn": "yes"})
    tunnel = dataclasses.replace(
        tunnel, spec=dataclasses.replace(tunnel.spec, allowed_namespaces=allowed)
    )
    labels = {"media": {"vpn": "yes"}, "other": {}}
    found = decided(
        pod("fine"),
        pod("runs", "10.100.0.20", namespace="other"),
        pod("new", namespace="other"),
        vpn=tunnel,
        namespace_labels=labels,
    )
    assert {name: it.accepted.reason for name, it in found.items()} == {
        "fine": "Accepted",
        "runs": "NamespaceNotAllowed",
        "new": "NamespaceNotAllowed",
    }
    assert {name for name, it in found.items() if it.ends} == {"runs"}


def test_a_pod_that_names_no_vpn_that_there_is_is_told() -> None:
    assert decided(pod("a"), vpn=None)["a"].accepted == false(
        "VpnNotFound", "there is no PiaVpn named home: create it, or name another one"
    )


def test_a_pod_of_a_vpn_that_cannot_be_used_is_told_and_keeps_its_address() -> None:
    missing = model.CredentialsProblem("CredentialsNotFound", "there is no Secret")
    found = decided(pod("a", "10.100.0.10"), credentials=missing)["a"]
    assert not found.ends
    assert found.accepted == false(
        "VpnNotAccepted", "PiaVpn home is not accepted: there is no Secret"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("both", vpnapps.ReceiveForwardedPort(None, BOTH)),
        ("51413/both", vpnapps.ReceiveForwardedPort(51413, BOTH)),
        ("1/tcp", vpnapps.ReceiveForwardedPort(1, protocols.ForwardedProtocol.TCP)),
        ("65535/udp", vpnapps.ReceiveForwardedPort(65535, protocols.ForwardedProtocol.UDP)),
    ],
)
def test_a_pod_says_how_it_receives_the_forwarded_port(
    text: str, expected: vpnapps.ReceiveForwardedPort
) -> None:
    assert labelled.received(pod("a", receives=text)) == expected


@pytest.mark.parametrize("text", ["", "TCP", "0/tcp", "65536/tcp", "51413", "51413/", "both/1"])
def test_what_cannot_be_read_is_told(text: str) -> None:
    asking = pod("a")
    asking["metadata"]["annotations"][RECEIVE] = text
    found = decided(asking)["a"]
    assert (found.address, found.accepted) == (
        None,
        false(
            "Invalid",
            "annotation piavpn.dev/receive-forwarded-port must be tcp, udp or both, or such a word "
            "after the pod's own port, as 51413/both",
        ),
    )


def test_the_oldest_that_wants_the_port_has_it_and_the_others_run_without() -> None:
    first, second = pod("a", "10.100.0.10", age=5, receives="80/tcp"), pod("b", receives="80/tcp")
    assert forwarded(first, second) == gateway_config.PortForwarding(
        IP("10.100.0.10"), protocols.ForwardedProtocol.TCP, 80, "pod media/a"
    )
    found = decided(first, second)
    assert found["a"].accepted == true(
        "Accepted", "the forwarded port of PiaVpn home goes to this pod"
    )
    assert found["b"].address == IP("10.100.0.11")
    assert found["b"].accepted == true(
        "Accepted",
        "pod media/a receives the forwarded port of PiaVpn home: this pod takes over when that one "
        "goes or receives none",
    )


def test_who_has_the_port_keeps_it_from_an_older_app_until_it_goes() -> None:
    younger = pod("b", "10.100.0.11", receives="both")
    older = service("web", address="10.100.0.10", age=60)
    wants = dataclasses.replace(older.spec, receive_forwarded_port=vpnapps.ReceiveForwardedPort())
    app = dataclasses.replace(older, spec=wants)
    has = gateway_config.PortForwarding(IP("10.100.0.11"), receiver="pod media/b")
    config = dataclasses.replace(CONFIG, port_forwarding=has)

    decision = decide.decide(seen(labelled_pods=(younger,), services=(app,), gateway_config=config))
    assert decision.gateway is not None
    assert decision.gateway.port_forwarding == has
    assert decision.services[0].accepted == false(
        "PortReceiverTaken",
        "pod media/b receives the forwarded port of PiaVpn home: this app takes over when that one "
        "goes or receives none; or remove spec.receiveForwardedPort here",
    )

    going = pod("b", "10.100.0.11", receives="both", deletionTimestamp="2026-11-23T11:59:00Z")
    then = forwarded(going, services=(app,), gateway_config=config)
    assert then == gateway_config.PortForwarding(IP("10.100.0.10"), receiver="media/web")
