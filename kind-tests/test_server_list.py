"""A tunnel outlives whatever happens to PIA's server list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

VPN, LATER = "list", "list-later"
OPERATOR = "piavpn-operator"


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """Have the credentials there, and remove what a case has made."""
    kubectl.apply(manifests.credentials(VPN))
    yield
    kubectl.delete(vpn(), vpn(LATER), manifests.credentials(VPN))


def vpn(name: str = VPN, *, fresh: str = "", location: str = "nl_amsterdam") -> kubectl.Object:
    """Return a PiaVpn of the case; `fresh` makes its list one that was never fetched."""
    made = manifests.pia_vpn(name, secret=VPN, location=location)
    if fresh:
        made["spec"]["endpoints"]["serverListURL"] += f"?{fresh}"
    return made


def servers_known(name: str = VPN) -> kubectl.Object:
    return kubectl.condition("piavpn", name, "ServersKnown")


@pytest.mark.parametrize(
    ("failure", "words"),
    [("http_500", "HTTP 500"), ("bad_signature", "not signed by PIA"), ("hang", "no answer")],
)
def test_after_a_restart_the_kept_list_makes_tunnels_while_pia_s_cannot_be_had(
    pia: client.Client, failure: str, words: str
) -> None:
    kubectl.apply(vpn())
    kubectl.wait_for("piavpn", VPN, "ServersKnown")

    with pia.failing({"list": failure}):
        kubectl.restart(OPERATOR, manifests.SYSTEM)
        kubectl.apply(vpn(LATER, location="us_chicago"))
        kubectl.wait_for("piavpn", LATER, "Ready")
        told = servers_known(LATER)
        assert (told["status"], told["reason"]) == ("True", "KeptList"), told
        assert "list of " in told["message"]
        assert words in told["message"]
        assert servers_known()["reason"] == "KeptList"

    waiting.eventually(
        lambda: servers_known(LATER).get("reason") == "ServersFound", "the new list is there"
    )


def test_a_list_with_a_bad_signature_is_refused_and_makes_no_tunnel(pia: client.Client) -> None:
    with pia.failing({"list": "bad_signature"}):
        kubectl.apply(vpn(fresh="forged"))
        told = kubectl.wait_for_reason("piavpn", VPN, "ServersKnown", "BadSignature")
        assert "not signed by PIA" in told["message"]
        assert kubectl.condition("piavpn", VPN, "Ready")["reason"] == "BadSignature"

    kubectl.wait_for("piavpn", VPN, "Ready")


def test_a_region_that_is_missing_once_ends_no_tunnel(pia: client.Client) -> None:
    kubectl.apply(vpn())
    kubectl.wait_for("piavpn", VPN, "Ready")
    before = session()["publicKey"]

    with pia.failing({"list": "missing_region:nl_amsterdam"}):
        kubectl.restart(OPERATOR, manifests.SYSTEM)
        kubectl.wait_for_reason("piavpn", VPN, "ServersKnown", "UnknownLocation")
        assert kubectl.condition("piavpn", VPN, "Ready")["status"] == "True"

    assert session()["publicKey"] == before
    # The operator keeps a list for an hour, and this one is not what other tests need.
    kubectl.restart(OPERATOR, manifests.SYSTEM)
    kubectl.wait_for("piavpn", VPN, "ServersKnown")


def test_auto_says_how_far_it_found_the_regions() -> None:
    kubectl.apply(vpn(location="auto"))
    kubectl.wait_for("piavpn", VPN, "Ready")

    status = (kubectl.get("piavpn", VPN) or {})["status"]

    measured = [each["region"] for each in status["servers"]]
    assert status["session"]["region"] in measured
    assert not {"panama", "liechtenstein"} & set(measured), "their servers stand elsewhere"


def test_a_tunnel_ends_at_a_dedicated_ip_and_its_token_is_nowhere_to_be_read(
    pia: client.Client,
) -> None:
    token = manifests.dedicated_ip_token(VPN)
    made = vpn()
    made["spec"]["dedicatedIpSecretRef"] = {"name": token["metadata"]["name"]}
    try:
        kubectl.apply(token, made)
        kubectl.wait_for("piavpn", VPN, "Ready")

        assert session()["serverAddress"] == "198.18.13.1"
        peers = pia.state().servers["frankfurt401"].peers
        assert [p.account for p in peers if p.public_key == session()["publicKey"]] == [
            "dedicated_ip_DIP20261123"
        ]
        everything = [
            kubectl.run("get", "piavpn,configmaps,pods,events,statefulsets", "-A", "-o", "yaml"),
            kubectl.run("logs", "-n", manifests.SYSTEM, "deployment/piavpn-operator"),
            kubectl.run("logs", "-n", manifests.SYSTEM, f"piavpn-gateway-{VPN}-0"),
        ]
        assert not any("DIP2026" in text for text in everything)
    finally:
        kubectl.delete(token)


def test_a_dedicated_ip_that_has_expired_is_told(pia: client.Client) -> None:
    token = manifests.dedicated_ip_token(VPN)
    made = vpn(fresh="expired")
    made["spec"]["dedicatedIpSecretRef"] = {"name": token["metadata"]["name"]}
    with pia.failing({"dedicatedIP": "expired"}):
        try:
            kubectl.apply(token, made)
            kubectl.wait_for_reason("piavpn", VPN, "ServersKnown", "DedicatedIPExpired")
        finally:
            kubectl.delete(token)


def session() -> kubectl.Object:
    found: kubectl.Object = (kubectl.get("piavpn", VPN) or {})["status"]["session"]
    return found
