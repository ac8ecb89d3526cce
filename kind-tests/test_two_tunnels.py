"""Tunnels of one account never end at one server: a second key there would kill the first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

NAMES = ("twin-a", "twin-b", "twin-c")
USER = "p2222222"
OPERATOR = "piavpn-operator"


@pytest.fixture(autouse=True)
def account(pia: client.Client) -> Iterator[None]:
    """Have an account that no other tunnel uses, and remove what a case has made."""
    pia.accept_credentials(USER, manifests.PASSWORD)
    kubectl.apply(manifests.credentials("twins", username=USER))
    yield
    vpns = (manifests.pia_vpn(name, secret="twins") for name in NAMES)
    kubectl.delete(*vpns, manifests.credentials("twins"))


def make(name: str, location: str) -> None:
    kubectl.apply(manifests.pia_vpn(name, secret="twins", location=location))


def session(name: str) -> kubectl.Object:
    status = (kubectl.get("piavpn", name) or {}).get("status") or {}
    return status.get("session") or {}


def candidates(name: str) -> set[str]:
    status = (kubectl.get("piavpn", name) or {}).get("status") or {}
    return set(status.get("candidateServers") or [])


def test_two_tunnels_in_one_region_are_at_two_servers_and_stay_there(pia: client.Client) -> None:
    make("twin-a", "swiss")
    kubectl.wait_for("piavpn", "twin-a", "Ready")
    first = session("twin-a")

    make("twin-b", "swiss")
    kubectl.wait_for("piavpn", "twin-b", "Ready")

    assert session("twin-b")["serverAddress"] != first["serverAddress"]
    key = first["publicKey"]
    assert session("twin-a")["publicKey"] == key, "the first tunnel was not disturbed"
    assert not candidates("twin-a") & candidates("twin-b")
    with operator_away():
        before = session("twin-b")["publicKey"]
        pia.forget_peers(session("twin-b")["server"])
        waiting.eventually(
            lambda: session("twin-b").get("publicKey", before) != before, "it registers anew"
        )
        assert session("twin-b")["serverAddress"] != first["serverAddress"]
        assert session("twin-a")["publicKey"] == key


def test_a_tunnel_that_finds_no_free_server_says_so_and_takes_the_first_that_is_freed() -> None:
    make("twin-a", "us_chicago")
    kubectl.wait_for("piavpn", "twin-a", "Ready")

    make("twin-b", "us_chicago")
    told = kubectl.wait_for_reason("piavpn", "twin-b", "ServersKnown", "ServersInUse")
    assert "name more regions in spec.fallbackLocations" in told["message"]

    kubectl.delete(manifests.pia_vpn("twin-a", secret="twins"))

    kubectl.wait_for("piavpn", "twin-b", "Ready")


def test_a_third_tunnel_finds_its_place_by_its_fallback() -> None:
    make("twin-a", "swiss")
    make("twin-b", "swiss")
    third = manifests.pia_vpn(
        "twin-c", secret="twins", location="swiss", fallbackLocations=["de-frankfurt"]
    )
    kubectl.wait_for("piavpn", "twin-a", "Ready")
    kubectl.wait_for("piavpn", "twin-b", "Ready")

    kubectl.apply(third)

    kubectl.wait_for("piavpn", "twin-c", "Ready")
    assert session("twin-c")["region"] == "de-frankfurt"
    assert len({session(name)["serverAddress"] for name in NAMES}) == len(NAMES)


@contextlib.contextmanager
def operator_away() -> Iterator[None]:
    """Have no operator for the time of a block."""
    deployment = ("deployment", OPERATOR, "-n", manifests.SYSTEM)
    kubectl.run("scale", *deployment, "--replicas=0")
    kubectl.run(
        "wait", "pod", "-n", manifests.SYSTEM, "--for=delete", "--timeout=60s",
        "-l", f"app.kubernetes.io/name={OPERATOR}",
    )  # fmt: skip
    try:
        yield
    finally:
        kubectl.run("scale", *deployment, "--replicas=1")
        kubectl.run("rollout", "status", *deployment, "--timeout=90s")
