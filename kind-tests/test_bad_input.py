"""What a user gets wrong ends in a condition that says what to do, and mends when it is mended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, probes, waiting

VPN, ROOM, SECRET = "wrong", "test-wrong", "test-wrong"


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[None]:
    """Give the cases a namespace."""
    kubectl.apply(manifests.namespace(ROOM))
    yield
    kubectl.delete(manifests.namespace(ROOM))


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Remove all that a case made."""
    yield
    kubectl.clear(ROOM)
    kubectl.delete(manifests.pia_vpn(VPN, secret=SECRET), manifests.credentials(SECRET))


def test_a_missing_secret_is_named_and_used_as_soon_as_it_is_there() -> None:
    kubectl.apply(vpn())

    refusal = kubectl.wait_for_reason("piavpn", VPN, "Accepted", "CredentialsNotFound")
    assert f"kubectl create secret generic {SECRET} -n piavpn-system" in refusal["message"]

    kubectl.apply(manifests.credentials(SECRET))

    kubectl.wait_for("piavpn", VPN, "Ready")


def test_a_secret_without_a_password_says_which_key_is_missing() -> None:
    secret = manifests.credentials(SECRET)
    del secret["stringData"]["password"]
    kubectl.apply(secret, vpn())

    refusal = kubectl.wait_for_reason("piavpn", VPN, "Accepted", "CredentialsIncomplete")

    assert "has no password" in refusal["message"]


def test_a_wrong_password_is_told_and_tried_again_only_when_it_changes(
    pia: client.Client,
) -> None:
    kubectl.apply(manifests.credentials(SECRET, password="wrong"), vpn())

    refusal = kubectl.wait_for_reason("piavpn", VPN, "Authenticated", "BadCredentials")
    assert "refuses the user name or the password" in refusal["message"]
    assert kubectl.condition("piavpn", VPN, "Ready")["reason"] == "BadCredentials"
    logins = len(pia.state().logins)

    kubectl.apply(manifests.credentials(SECRET))

    kubectl.wait_for("piavpn", VPN, "Ready")
    assert len(pia.state().logins) <= logins + 1, "another Secret may have the same account's token"


def test_a_password_is_nowhere_to_be_read() -> None:
    kubectl.apply(manifests.credentials(SECRET, password="hunter2-and-more"), vpn())
    kubectl.wait_for_reason("piavpn", VPN, "Authenticated", "BadCredentials")

    everything = [
        kubectl.run("get", "piavpn,configmaps,pods,events,statefulsets", "-A", "-o", "yaml"),
        kubectl.run("logs", "-n", manifests.SYSTEM, "deployment/piavpn-operator"),
        kubectl.run("logs", "-n", manifests.SYSTEM, "daemonset/piavpn-node-agent"),
    ]

    assert not any("hunter2" in text for text in everything)


def test_an_unknown_region_is_answered_with_near_ones() -> None:
    kubectl.apply(manifests.credentials(SECRET), vpn(location="us_chicag"))

    refusal = kubectl.wait_for_reason("piavpn", VPN, "ServersKnown", "UnknownLocation")
    assert "did you mean us_chicago" in refusal["message"]

    kubectl.apply(vpn())

    kubectl.wait_for("piavpn", VPN, "Ready")


def test_a_subnet_of_the_cluster_is_refused() -> None:
    kubectl.apply(manifests.credentials(SECRET), vpn(network={"subnet": "10.244.0.0/24"}))

    refusal = kubectl.wait_for_reason("piavpn", VPN, "Accepted", "SubnetOverlaps")
    assert "overlaps the cluster's 10.244.0.0/24" in refusal["message"]

    kubectl.apply(vpn(network={"subnet": "10.201.0.0/24"}))

    kubectl.wait_for("piavpn", VPN, "Ready")


def test_a_subnet_of_another_vpn_is_refused(steady: probes.Tunnel) -> None:
    theirs = steady.status()["network"]["subnet"]
    kubectl.apply(manifests.credentials(SECRET), vpn(network={"subnet": theirs}))

    refusal = kubectl.wait_for_reason("piavpn", VPN, "Accepted", "SubnetOverlaps")

    assert "of PiaVpn steady" in refusal["message"]


@pytest.mark.parametrize(
    ("address", "reason", "words"),
    [
        ("10.202.0.2", "AddressReserved", "the gateway's"),
        ("10.202.9.9", "AddressOutsideSubnet", "is not in the VPN's subnet 10.202.0.0/24"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, reason: str, words: str) -> None:
    made = vpn(network={"subnet": "10.202.0.0/24"})
    kubectl.apply(manifests.credentials(SECRET), made, manifests.app("a", ROOM, VPN, ip=address))

    refusal = kubectl.wait_for_reason("vpnapp", "a", "Accepted", reason, ROOM)
    assert words in refusal["message"]

    kubectl.apply(manifests.app("a", ROOM, VPN, ip="10.202.0.30"))

    kubectl.wait_for("vpnapp", "a", "Ready", ROOM)


def test_an_address_has_one_holder_and_the_next_takes_over_when_it_goes() -> None:
    made = vpn(network={"subnet": "10.202.0.0/24"})
    first = manifests.app("first", ROOM, VPN, ip="10.202.0.30")
    second = manifests.app("second", ROOM, VPN, ip="10.202.0.30")
    kubectl.apply(manifests.credentials(SECRET), made, first)
    kubectl.wait_for("vpnapp", "first", "Ready", ROOM)
    kubectl.apply(second)

    refusal = kubectl.wait_for_reason("vpnapp", "second", "Accepted", "AddressTaken", ROOM)
    assert f"held by {ROOM}/first" in refusal["message"]

    kubectl.delete(first)

    kubectl.wait_for("vpnapp", "second", "Ready", ROOM)


def test_a_vpn_that_is_not_there_is_named_and_used_when_it_comes() -> None:
    kubectl.apply(manifests.credentials(SECRET), manifests.app("early", ROOM, VPN))

    refusal = kubectl.wait_for_reason("vpnapp", "early", "Accepted", "VpnNotFound", ROOM)
    assert f"no PiaVpn named {VPN}" in refusal["message"]

    kubectl.apply(vpn())

    kubectl.wait_for("vpnapp", "early", "Ready", ROOM)


def test_somebody_elses_service_of_the_same_name_is_left_alone() -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": ROOM},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }
    web = manifests.app("web", ROOM, VPN, ports=[{"name": "web", "port": 8080}])
    kubectl.apply(theirs, manifests.credentials(SECRET), vpn(), web)

    refusal = kubectl.wait_for_reason("vpnapp", "web", "Accepted", "NameTaken", ROOM)
    assert "a Service of this name is not this app's" in refusal["message"]
    kept = kubectl.get("service", "web", ROOM) or {}
    assert kept["spec"]["selector"] == {"app": "theirs"}

    kubectl.delete(theirs)

    kubectl.run("annotate", "vpnapp/web", "-n", ROOM, "try=again")
    kubectl.wait_for("vpnapp", "web", "Ready", ROOM)


def test_an_image_that_cannot_be_pulled_is_told_and_replaced_when_corrected() -> None:
    made = manifests.app("a", ROOM, VPN, image="registry.invalid/no-such:1")
    kubectl.apply(manifests.credentials(SECRET), vpn(), made)

    def told() -> bool:
        ready = kubectl.condition("vpnapp", "a", "Ready", ROOM)
        return ready.get("reason") == "PodNotReady" and "registry.invalid" in ready["message"]

    waiting.eventually(told, "Ready says that the image cannot be pulled")

    kubectl.apply(manifests.app("a", ROOM, VPN))

    kubectl.wait_for("vpnapp", "a", "Ready", ROOM)


def vpn(*, location: str = "us_chicago", **spec: object) -> kubectl.Object:
    """Return the PiaVpn of the case."""
    return manifests.pia_vpn(VPN, secret=SECRET, location=location, **spec)
