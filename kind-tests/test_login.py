"""PIA is asked for a login as seldom as can be, and each refusal is told by its own name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from fakepia import client
from harness import kubectl, manifests, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

ONE, OTHER = "login-one", "login-other"
OPERATOR = "piavpn-operator"
_numbers = itertools.count(1)


@pytest.fixture
def user(pia: client.Client) -> Iterator[str]:
    """Give an account that no other tunnel uses, and remove what was made with it."""
    name = f"p{next(_numbers):07}"
    pia.accept_credentials(name, manifests.PASSWORD)
    yield name
    for vpn in (ONE, OTHER):
        kubectl.delete(manifests.pia_vpn(vpn, secret=vpn), manifests.credentials(vpn))


def make(vpn: str, user: str, *, password: str = manifests.PASSWORD) -> None:
    secret = manifests.credentials(vpn, username=user, password=password)
    kubectl.apply(secret, manifests.pia_vpn(vpn, secret=vpn, location="nl_amsterdam"))


def logins(pia: client.Client, user: str) -> list[str]:
    return [login.result for login in pia.state().logins if login.username == user]


def gateway(vpn: str) -> kubectl.Object:
    found = kubectl.get("pod", f"piavpn-gateway-{vpn}-0", manifests.SYSTEM)
    assert found is not None
    return found


def session(vpn: str) -> kubectl.Object:
    status: kubectl.Object = (kubectl.get("piavpn", vpn) or {})["status"]
    return status.get("session") or {}


def look_again(vpn: str) -> None:
    """Have the operator pass over the VPN, and wait until it has."""
    kubectl.run("patch", "piavpn", vpn, "--type=merge", "-p", '{"spec":{"fallbackLocations":[]}}')
    wanted = (kubectl.get("piavpn", vpn) or {})["metadata"]["generation"]

    def seen() -> bool:
        status = (kubectl.get("piavpn", vpn) or {}).get("status") or {}
        return bool(status.get("observedGeneration") == wanted)

    waiting.eventually(seen, "the operator has seen the change")


def test_two_tunnels_of_one_account_log_in_once_and_a_restart_needs_no_login(
    pia: client.Client, user: str
) -> None:
    make(ONE, user)
    make(OTHER, user)
    kubectl.wait_for("piavpn", ONE, "Ready")
    kubectl.wait_for("piavpn", OTHER, "Ready")

    kubectl.restart(OPERATOR, manifests.SYSTEM)
    before = gateway(ONE)["metadata"]["uid"]
    kubectl.run("delete", "pod", f"piavpn-gateway-{ONE}-0", "-n", manifests.SYSTEM)
    waiting.eventually(lambda: gateway(ONE)["metadata"]["uid"] != before, "a new gateway")
    kubectl.wait_for("piavpn", ONE, "Ready")

    assert logins(pia, user) == ["issued"]


def test_a_rate_limit_outlives_the_operator_and_another_password_does_not_wait_for_it(
    pia: client.Client, user: str
) -> None:
    pia.fail({"login": "rate_limited", "retryAfterSeconds": 20})
    make(ONE, user)
    told = kubectl.wait_for_reason("piavpn", ONE, "Authenticated", "RateLimited")
    assert "the next login is made at" in told["message"]

    kubectl.restart(OPERATOR, manifests.SYSTEM)
    look_again(ONE)

    again = kubectl.condition("piavpn", ONE, "Authenticated")
    assert (again["reason"], again["message"]) == (told["reason"], told["message"])
    assert logins(pia, user) == ["rate_limited"]

    pia.fail({"login": None, "retryAfterSeconds": None})
    pia.accept_credentials(user, "another password")
    make(ONE, user, password="another password")

    kubectl.wait_for("piavpn", ONE, "Ready")
    assert logins(pia, user) == ["rate_limited", "issued"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("denied", "BadCredentials"),
        ("expired_subscription", "SubscriptionExpired"),
        ("http_500", "Unreachable"),
    ],
)
def test_a_refusal_is_told_by_its_own_name(
    pia: client.Client, user: str, failure: str, reason: str
) -> None:
    pia.fail({"login": failure})
    make(ONE, user)

    kubectl.wait_for_reason("piavpn", ONE, "Authenticated", reason)

    assert logins(pia, user) == [failure]


def test_an_outage_of_the_login_ends_by_itself(pia: client.Client, user: str) -> None:
    with pia.failing({"login": "http_500"}):
        make(ONE, user)
        kubectl.wait_for_reason("piavpn", ONE, "Authenticated", "Unreachable")

    kubectl.wait_for("piavpn", ONE, "Ready")


def test_a_token_that_pia_ends_is_followed_by_one_login_when_it_is_needed(
    pia: client.Client, user: str
) -> None:
    make(ONE, user)
    kubectl.wait_for("piavpn", ONE, "Ready")
    before = session(ONE)["publicKey"]
    pia.revoke_tokens()

    pia.forget_peers(session(ONE)["server"])

    waiting.eventually(
        lambda: session(ONE).get("publicKey", before) != before,
        "a new registration",
        timeout=120,  # a refusal of a token half a minute old might be of the one before
    )
    kubectl.wait_for("piavpn", ONE, "Ready")
    assert logins(pia, user) == ["issued", "issued"]


def test_changed_credentials_act_at_once_and_disturb_no_tunnel(
    pia: client.Client, user: str
) -> None:
    make(ONE, user)
    kubectl.wait_for("piavpn", ONE, "Ready")
    pod, key = gateway(ONE)["metadata"]["uid"], session(ONE)["publicKey"]
    pia.accept_credentials(user, "another password")

    make(ONE, user, password="a misspelt one")
    kubectl.wait_for_reason("piavpn", ONE, "Authenticated", "BadCredentials")
    assert kubectl.condition("piavpn", ONE, "Ready")["status"] == "True"
    make(ONE, user, password="another password")
    kubectl.wait_for("piavpn", ONE, "Authenticated")

    assert logins(pia, user) == ["issued", "denied", "issued"]
    assert gateway(ONE)["metadata"]["uid"] == pod
    assert session(ONE)["publicKey"] == key
