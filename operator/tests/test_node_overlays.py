"""Which pods on other nodes a bridge is joined to, and how."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from node_objects import CLUSTER, NETWORK

from piavpn.api import piavpns
from piavpn.api.piavpns import NodeEncryption
from piavpn.node import model, plans
from piavpn.node.decide import Problem
from piavpn.node.mesh import Mesh
from piavpn.node.mesh import Peer as MeshPeer
from piavpn.node.model import Overlay, Owner, Peer, Pod, Role
from piavpn.node.plans import NodePlan, RemotePod, Snapshot

A, B, C = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
HOME = piavpns.PiaVpn(
    name="home",
    uid="vpn-uid",
    generation=1,
    spec=piavpns.PiaVpnSpec(credentials_secret_ref=piavpns.CredentialsSecretRef("pia")),
    status=piavpns.PiaVpnStatus(
        network=piavpns.NetworkStatus(
            subnet=IPv4Network("10.100.0.0/24"),
            bridge="br-home",
            host_address=IPv4Address("10.100.0.1"),
            gateway_address=IPv4Address("10.100.0.2"),
        )
    ),
)
NODES = {"A": A, "B": B, "C": C}
TALKING = dataclasses.replace(
    HOME, spec=dataclasses.replace(HOME.spec, network=piavpns.NetworkSpec(service_isolation=False))
)

ENCRYPTED = dataclasses.replace(
    HOME,
    spec=dataclasses.replace(
        HOME.spec, network=piavpns.NetworkSpec(node_encryption=NodeEncryption.WIREGUARD)
    ),
)


def app(number: int) -> Pod:
    return Pod(
        uid=f"uid-{number}",
        name=f"app{number}-0",
        namespace="media",
        role=Role.SERVICE,
        vpn="home",
        owner=Owner(f"app{number}", "media"),
        address=IPv4Address(f"10.100.0.{number}"),
        name_servers=("10.100.0.2",),
    )


GATEWAY = Pod("g", "gateway-0", "piavpn-system", Role.GATEWAY, "home", Owner("home"), None)
APPS = [app(number) for number in (10, 11, 12)]
SERVICES = {pod.owner: pod.address for pod in APPS}
TO_GATEWAY = Peer(Role.GATEWAY, IPv4Address("10.100.0.2"), A)
TO_11_ON_B = Peer(Role.SERVICE, IPv4Address("10.100.0.11"), B)
TO_12_ON_B = Peer(Role.SERVICE, IPv4Address("10.100.0.12"), B)
TO_12_ON_C = Peer(Role.SERVICE, IPv4Address("10.100.0.12"), C)


def node_plan(
    *here: Pod,
    elsewhere: tuple[tuple[Pod, IPv4Address], ...],
    node: IPv4Address | None = A,
    vpn: piavpns.PiaVpn = HOME,
    keyed: str = "",
) -> NodePlan:
    """Return what is on a node with these pods where the keys of these nodes are known."""
    snapshot = Snapshot(
        vpns={"home": vpn},
        pods=here,
        servers={},
        cluster=CLUSTER,
        services=SERVICES,
        nodes=(A, B, C),
        node=node,
        elsewhere=tuple(RemotePod(pod, at) for pod, at in elsewhere),
        node_keys={at: f"{name}=" for name, at in NODES.items() if name in keyed},
    )
    return plans.node_plan(snapshot, 1460)


def overlay(
    *here: Pod,
    elsewhere: tuple[tuple[Pod, IPv4Address], ...],
    node: IPv4Address | None = A,
    vpn: piavpns.PiaVpn = HOME,
) -> Overlay | None:
    return node_plan(*here, elsewhere=elsewhere, node=node, vpn=vpn).overlays.get("home")


def peers(*here: Pod, elsewhere: tuple[tuple[Pod, IPv4Address], ...]) -> tuple[Peer, ...]:
    found = overlay(*here, elsewhere=elsewhere)
    return found.peers if found else ()


def test_the_gateways_node_knows_all_apps_and_keeps_them_from_its_own() -> None:
    elsewhere = ((APPS[2], C), (APPS[1], B))
    assert overlay(GATEWAY, APPS[0], elsewhere=elsewhere) == Overlay(
        NETWORK, local=A, peers=(TO_11_ON_B, TO_12_ON_C), isolated=True
    )


def test_a_node_of_apps_knows_the_gateway_alone() -> None:
    elsewhere = ((GATEWAY, A), (APPS[1], B))
    assert overlay(APPS[0], elsewhere=elsewhere, node=C) == Overlay(
        NETWORK, local=C, peers=(TO_GATEWAY,), isolated=False
    )


def test_where_services_may_talk_every_node_knows_every_pod() -> None:
    talking = dataclasses.replace(NETWORK, service_isolation=False)
    elsewhere = ((GATEWAY, A), (APPS[1], B))
    assert overlay(APPS[0], elsewhere=elsewhere, node=C, vpn=TALKING) == Overlay(
        talking, local=C, peers=(TO_GATEWAY, TO_11_ON_B), isolated=False
    )
    assert overlay(GATEWAY, elsewhere=((APPS[1], B),), vpn=TALKING) == Overlay(
        talking, local=A, peers=(TO_11_ON_B,), isolated=False
    )


def test_without_a_gateway_nothing_goes_to_other_nodes() -> None:
    assert overlay(APPS[0], elsewhere=((APPS[1], B),)) is None


def test_a_vpn_whose_pods_are_all_here_is_joined_to_no_node() -> None:
    assert overlay(GATEWAY, APPS[0], elsewhere=()) is None


def test_a_node_without_a_pod_of_the_vpn_is_not_joined_to_it() -> None:
    assert overlay(elsewhere=((GATEWAY, B), (APPS[1], C))) is None


def test_a_node_whose_own_address_is_not_known_is_joined_to_none() -> None:
    assert overlay(GATEWAY, elsewhere=((APPS[1], B),), node=None) is None


@pytest.mark.parametrize(
    "stranger",
    [
        dataclasses.replace(APPS[1], address=IPv4Address("10.100.0.66")),
        dataclasses.replace(APPS[1], address=IPv4Address("10.100.0.2")),
        dataclasses.replace(APPS[1], address=None),
        dataclasses.replace(APPS[1], owner=Owner("app11", "elsewhere")),
        dataclasses.replace(APPS[1], owner=Owner("app11-0", "media", is_pod=True)),
        dataclasses.replace(APPS[1], breach="spec.hostPID is set"),
        dataclasses.replace(APPS[1], vpn="away"),
    ],
)
def test_a_pod_that_holds_no_address_is_nobody(stranger: Pod) -> None:
    assert peers(GATEWAY, elsewhere=((stranger, B),)) == ()


def test_a_labelled_pod_counts_by_the_address_that_stands_on_it() -> None:
    labelled = dataclasses.replace(
        APPS[1],
        owner=Owner("crawler", "media", is_pod=True),
        address=IPv4Address("10.100.0.20"),
    )
    assert peers(GATEWAY, elsewhere=((labelled, B),)) == (
        Peer(Role.SERVICE, IPv4Address("10.100.0.20"), B),
    )


def test_an_address_is_at_one_place_which_is_here_where_a_pod_here_has_it() -> None:
    assert peers(GATEWAY, APPS[0], elsewhere=((GATEWAY, B), (APPS[0], B))) == ()
    assert peers(GATEWAY, elsewhere=((APPS[2], B), (APPS[2], C))) == (TO_12_ON_B,)


def test_the_number_of_the_overlay_is_the_end_of_its_subnet() -> None:
    found = overlay(GATEWAY, elsewhere=((APPS[1], B),))
    assert found is not None
    assert (found.link, found.vni) == ("vx-home", 0x640000)


def test_broadcasts_go_to_the_nodes_of_peers() -> None:
    elsewhere = ((APPS[1], B), (APPS[2], B))
    found = overlay(GATEWAY, elsewhere=elsewhere)
    assert found is not None
    assert found.nodes == {B}
    assert found.gateway is None
    found = overlay(APPS[2], elsewhere=((GATEWAY, A),), node=C)
    assert found is not None
    assert (found.nodes, found.gateway) == ({A}, IPv4Address("10.100.0.2"))


def test_an_address_is_read_back_from_the_mac_address_that_is_its_own() -> None:
    address = IPv4Address("10.100.0.10")
    assert model.address_of(model.mac_of(address)) == address
    assert model.address_of("92:d6:fc:e3:af:7f") is None


@pytest.mark.parametrize(
    ("here", "elsewhere", "expected"),
    [
        ([], [], False),
        ([GATEWAY, APPS[0]], [], False),
        ([], [(GATEWAY, B), (APPS[0], B)], False),
        ([], [(GATEWAY, B), (APPS[0], C)], True),
        ([GATEWAY], [(APPS[0], B)], True),
    ],
    ids=["none", "all here", "all on another node", "on two others", "here and there"],
)
def test_a_node_knows_that_bridges_are_joined_also_those_of_others(
    here: list[Pod], elsewhere: list[tuple[Pod, IPv4Address]], *, expected: bool
) -> None:
    assert node_plan(*here, elsewhere=tuple(elsewhere)).joined is expected


IN_MESH = {
    "A": IPv6Address("fd76:706e::c000:201"),
    "B": IPv6Address("fd76:706e::c000:202"),
    "C": IPv6Address("fd76:706e::c000:203"),
}


def test_an_encrypted_vpn_is_joined_by_the_nodes_link_and_its_packets_are_smaller() -> None:
    plan = node_plan(GATEWAY, elsewhere=((APPS[1], B), (APPS[2], C)), vpn=ENCRYPTED, keyed="ABC")
    network = dataclasses.replace(NETWORK, mtu=1330, encrypted=True)
    assert plan.networks == {"home": network}
    assert plan.overlays == {
        "home": Overlay(
            network,
            local=IN_MESH["A"],
            peers=(
                dataclasses.replace(TO_11_ON_B, node=IN_MESH["B"]),
                dataclasses.replace(TO_12_ON_C, node=IN_MESH["C"]),
            ),
            isolated=True,
        )
    }
    assert plan.overlays["home"].device == "piavpn-nodes"
    assert plan.mesh == Mesh(IN_MESH["A"], 1400, (MeshPeer(B, "B="), MeshPeer(C, "C=")))
    assert plan.keyless == {}


def test_to_a_node_without_a_known_key_an_encrypted_vpn_has_no_way() -> None:
    plan = node_plan(GATEWAY, elsewhere=((APPS[1], B), (APPS[2], C)), vpn=ENCRYPTED, keyed="AB")
    assert [peer.node for peer in plan.overlays["home"].peers] == [IN_MESH["B"]]
    assert plan.overlays["home"].nodes == {IN_MESH["B"]}
    # That node's agent tells of it: nothing is wrong with the gateway.
    assert plan.keyless == {}


def key_of_is_not_known(address: str) -> Problem:
    return Problem(
        "NodeKeyUnknown",
        f"the public key of node {address} is not known, so nothing of an encrypted VPN goes"
        " there: its node agent publishes it as ConfigMap piavpn-node-NODE; see the log of"
        " that agent",
    )


@pytest.mark.parametrize(
    ("keyed", "told"), [("A", "192.0.2.2"), ("B", "192.0.2.1"), ("", "192.0.2.1, 192.0.2.2")]
)
def test_an_app_is_told_whose_key_keeps_it_from_its_gateway(keyed: str, told: str) -> None:
    plan = node_plan(APPS[0], elsewhere=((GATEWAY, B),), vpn=ENCRYPTED, keyed=keyed)
    assert plan.keyless == {"home": key_of_is_not_known(told)}
    assert bool(plan.overlays) == ("B" in keyed)


def test_the_nodes_link_is_there_for_an_encrypted_vpn_alone() -> None:
    assert node_plan(GATEWAY, elsewhere=(), vpn=ENCRYPTED, keyed="AB").mesh == Mesh(
        IN_MESH["A"], 1400, (MeshPeer(B, "B="),)
    )
    assert node_plan(elsewhere=((GATEWAY, B),), vpn=ENCRYPTED, keyed="AB").mesh is None
    plain = overlay(GATEWAY, elsewhere=((APPS[1], B),))
    assert plain is not None
    assert plain.device is None
