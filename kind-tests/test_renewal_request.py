"""A session is renewed when its time has come or somebody asks, and nobody behind it notices."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest

from harness import kubectl, manifests, probes, waiting

pytestmark = pytest.mark.owns_nodes  # for the stand-in beside them

OPERATOR = "piavpn-operator"


@pytest.fixture(scope="module")
def tunnel() -> Iterator[probes.Tunnel]:
    """Give a tunnel in a region with two servers, so that a renewal has another one."""
    with probes.tunnel("renewed", location="nl_amsterdam") as made:
        yield made


def session(tunnel: probes.Tunnel) -> kubectl.Object:
    return tunnel.status().get("session") or {}


def ask(tunnel: probes.Tunnel, when: str) -> None:
    annotation = f"piavpn.dev/renew-requested-at={when}"
    kubectl.run("annotate", "piavpn", tunnel.vpn, "--overwrite", annotation)


def events(tunnel: probes.Tunnel, reason: str) -> list[str]:
    uid = (kubectl.get("piavpn", tunnel.vpn) or {})["metadata"]["uid"]
    selector = f"involvedObject.uid={uid},reason={reason}"
    found = kubectl.items("events", "-A", "--field-selector", selector)
    return [event["message"] for event in found]


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_request_is_answered_and_moves_the_tunnel_to_another_server(
    tunnel: probes.Tunnel,
) -> None:
    before, app = session(tunnel), tunnel.app.get()["metadata"]["uid"]

    ask(tunnel, now())

    waiting.eventually(
        lambda: session(tunnel).get("publicKey", "") not in ("", before["publicKey"]),
        "a new session",
    )
    assert session(tunnel)["serverAddress"] != before["serverAddress"]
    waiting.eventually(
        lambda: tunnel.app.tcp() == session(tunnel)["serverAddress"], "the app goes that way"
    )
    assert tunnel.app.get()["metadata"]["uid"] == app
    assert len(events(tunnel, "RenewalRequested")) == 1


def test_a_request_that_is_no_time_is_answered_by_a_warning(tunnel: probes.Tunnel) -> None:
    before = session(tunnel)

    ask(tunnel, "tomorrow")

    waiting.eventually(
        lambda: events(tunnel, "RenewalRequestInvalid"), "an Event says what is wrong"
    )
    assert session(tunnel)["publicKey"] == before["publicKey"]


def test_a_session_is_renewed_after_the_interval_also_without_an_operator(
    tunnel: probes.Tunnel,
) -> None:
    deployment = ("deployment", OPERATOR, "-n", manifests.SYSTEM)
    before = session(tunnel)["publicKey"]
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(session(tunnel)["registeredTime"])
    # Not overdue: what is made up for is spread over minutes.
    interval = f"{int(age.total_seconds()) + 60}s"
    spec = json.dumps({"spec": {"renewal": {"interval": interval}}})
    kubectl.run("patch", "piavpn", tunnel.vpn, "--type=merge", "-p", spec)

    def told() -> bool:
        name = f"piavpn-gateway-{tunnel.vpn}"
        config = (kubectl.get("configmap", name, manifests.SYSTEM) or {})["data"]["config.json"]
        due = dt.datetime.fromisoformat(json.loads(config)["renewal"]["time"])
        return due < dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)

    waiting.eventually(told, "the gateway is told of a renewal soon")
    kubectl.run("scale", *deployment, "--replicas=0")
    try:
        waiting.eventually(
            lambda: session(tunnel).get("publicKey", before) != before, "a new session", timeout=180
        )
    finally:
        kubectl.run("scale", *deployment, "--replicas=1")
        kubectl.run("rollout", "status", *deployment, "--timeout=90s")
