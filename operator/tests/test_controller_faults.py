"""Passes and errands when the API server or PIA fails."""

from __future__ import annotations

import base64
import functools
import json
import threading

import pytest
from controller_world import (
    ACCOUNT,
    GATEWAY,
    NAMESPACE,
    TOKEN,
    World,
    eventually,
)
from kube_calls import Call
from kube_server import RefusalError, SilenceError
from pia_server import Reply

from piavpn import kube
from piavpn.controller import errands, reconciler

# Faults of the API server


def test_what_is_refused_of_one_app_holds_up_no_other(tunnel: World) -> None:
    def fault(call: Call) -> RefusalError | None:
        wrong = call.resource == "statefulsets" and call.verb == "patch" and call.name == "first"
        return RefusalError(422, "StatefulSet first is invalid") if wrong else None

    tunnel.api.fault = fault
    tunnel.service("first")
    tunnel.service("second")
    tunnel.loop.wake("home")
    eventually(lambda: tunnel.names_of(kube.STATEFUL_SETS) == {GATEWAY, "second"})


def test_a_status_that_is_refused_of_one_app_keeps_no_other_s_from_being_told(
    tunnel: World,
) -> None:
    def fault(call: Call) -> RefusalError | None:
        wrong = call.resource.endswith("/status") and call.name == "first"
        return RefusalError(422, "VpnServiceContainer first is invalid") if wrong else None

    tunnel.api.fault = fault
    tunnel.service("first")
    tunnel.service("second")
    tunnel.loop.wake("home")
    eventually(lambda: tunnel.service_condition("Accepted", "second") is not None)


def test_an_api_server_that_falls_silent_ends_the_pass(tunnel: World) -> None:
    def fault(call: Call) -> RefusalError | None:
        if call.resource == "statefulsets" and call.verb == "patch" and call.name != GATEWAY:
            silent.set()
            asked.append(call.name)
            raise SilenceError
        return None

    silent, asked = threading.Event(), list[str | None]()
    for name in ("first", "second", "third"):
        tunnel.service(name)
    tunnel.api.fault = fault
    tunnel.loop.wake("home")
    assert silent.wait(timeout=20)
    tunnel.pass_over("downloads")  # the pass is over when another one is made
    assert set(asked) == {"first"}


def test_a_pass_that_takes_long_for_all_its_answers_is_not_stuck(tunnel: World) -> None:
    slow = list[bool]()

    def fault(_call: Call) -> None:
        tunnel.seconds_ahead += 10.0
        slow.append(tunnel.loop.healthy())

    for number in range(10):
        tunnel.service(f"app-{number}")
    tunnel.api.fault = fault
    tunnel.pass_over("home")
    assert len(slow) > 20
    assert all(slow)


def test_a_pass_that_waits_for_an_answer_that_does_not_come_is_stuck(tunnel: World) -> None:
    waiting = list[bool]()

    def fault(call: Call) -> None:
        if call.resource == "statefulsets" and not waiting:
            tunnel.seconds_ahead += 120.0
            waiting.append(tunnel.loop.healthy())

    tunnel.api.fault = fault
    tunnel.pass_over("home")
    assert waiting == [False]
    assert tunnel.loop.healthy()


def test_a_pass_that_the_api_server_broke_is_made_again(
    tunnel: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "_FIRST_RETRY", 0.05)
    failures = iter([True] * 3)

    def fault(call: Call) -> RefusalError | None:
        wrong = call.resource == "nodes" or call.verb == "patch"
        return RefusalError(500, "etcd") if wrong and next(failures, False) else None

    tunnel.api.fault = fault
    tunnel.service()
    tunnel.loop.wake("home")
    eventually(lambda: tunnel.names_of(kube.SERVICES) == {"web"})


def test_an_event_that_is_refused_holds_up_nothing(tunnel: World) -> None:
    tunnel.api.fault = lambda call: (
        RefusalError(403, "the namespace is being terminated")
        if call.resource == "events"
        else None
    )
    tunnel.service()
    tunnel.pass_over("home")
    assert tunnel.api.get(kube.STATEFUL_SETS, "web", "media")


def test_without_servicecidrs_as_before_kubernetes_1_33_it_asks_for_the_ranges(
    world: World,
) -> None:
    world.api.fault = lambda call: (
        RefusalError(404, "404 page not found") if call.resource == "servicecidrs" else None
    )
    world.vpn(network={"subnet": "10.244.0.0/24"})
    world.pass_over("home")
    assert world.vpn_condition("Accepted") == ("False", "ClusterCIDRsUnknown")
    assert "network" not in world.api.get(kube.PIA_VPNS, "home")["status"]


# Errands at PIA


def test_two_vpns_on_one_account_share_one_login_and_one_list(world: World) -> None:
    world.pia.door.clear()
    world.credentials()
    world.vpn()
    world.vpn("downloads")
    world.pass_over("home", "downloads", "home")
    world.pia.door.set()
    eventually(lambda: world.vpn_condition("ServersKnown") == ("True", "ServersFound"))
    eventually(lambda: world.vpn_condition("ServersKnown", "downloads") == ("True", "ServersFound"))
    world.pass_over("home", "downloads")
    assert world.vpn_condition("Authenticated", "downloads") == ("True", "LoggedIn")
    assert (world.pia.logins, world.pia.lists) == (1, 1)


def test_two_secrets_of_one_account_do_not_lead_to_one_server(world: World) -> None:
    world.credentials()
    world.credentials(name="the-same-again")
    world.vpn()
    world.vpn("downloads", credentialsSecretRef={"name": "the-same-again"})
    world.pass_over("home", "downloads")
    for name in ("home", "downloads"):
        eventually(
            functools.partial(lambda vpn: len(candidates(world, vpn)) == 1, name),
        )
    assert candidates(world, "home") != candidates(world, "downloads")


def candidates(world: World, vpn: str) -> list[str]:
    config = world.api.get(kube.CONFIG_MAPS, f"piavpn-gateway-{vpn}", NAMESPACE)["data"]
    return [server["cn"] for server in json.loads(config["config.json"])["servers"]]


def test_two_secrets_of_one_account_share_one_login(world: World) -> None:
    world.credentials()
    world.credentials(name="the-same-again")
    world.vpn()
    world.vpn("downloads", credentialsSecretRef={"name": "the-same-again"})
    world.pass_over("home", "downloads")
    for name in ("home", "downloads"):
        eventually(
            functools.partial(
                lambda vpn: world.vpn_condition("Authenticated", vpn) == ("True", "LoggedIn"), name
            )
        )
    assert world.pia.logins == 1
    assert world.secret("piavpn-account-the-same-again")["token"] == TOKEN


def test_credentials_under_other_keys_of_the_same_secret_are_a_login_of_their_own(
    world: World,
) -> None:
    encoded = base64.b64encode(b"p7654321").decode()
    world.credentials()
    known = world.api.get(kube.SECRETS, "pia-credentials", NAMESPACE)["data"]
    world.api.put(kube.SECRETS, "pia-credentials", NAMESPACE, data={**known, "other": encoded})
    world.vpn()
    world.vpn("downloads", credentialsSecretRef={"name": "pia-credentials", "usernameKey": "other"})
    world.pass_over("home", "downloads")
    eventually(lambda: world.vpn_condition("Authenticated") == ("True", "LoggedIn"))
    eventually(lambda: world.vpn_condition("Authenticated", "downloads") == ("True", "LoggedIn"))
    for _ in range(3):
        world.pass_over("home", "downloads")
    assert world.pia.logins == 2


def test_a_refused_login_is_kept_in_the_account_s_secret_and_not_repeated(world: World) -> None:
    world.pia.login = Reply(429, "{}")
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("False", "RateLimited"))
    kept = world.secret(ACCOUNT)
    digests = {"fingerprint", "login", "account"}
    assert set(kept) == digests | {"failureReason", "failureMessage", "retryTime", "failures"}
    world.pass_over("home")
    world.pass_over("home")
    assert world.pia.logins == 1


def test_a_rate_limit_is_remembered_also_when_its_vpn_is_made_anew(world: World) -> None:
    world.pia.login = Reply(429, "{}")
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("False", "RateLimited"))
    world.api.remove(kube.PIA_VPNS, "home")
    world.loop.wake_all()
    world.pass_over("home")
    world.vpn()
    world.pass_over("home", "home")
    assert world.vpn_condition("Authenticated") == ("False", "RateLimited")
    assert world.pia.logins == 1


def test_an_account_s_secret_that_lost_its_label_is_made_anew_by_one_login(world: World) -> None:
    encoded = base64.b64encode(b"an old token").decode()
    world.api.put(kube.SECRETS, ACCOUNT, NAMESPACE, data={"token": encoded})
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("True", "LoggedIn"))
    assert (world.secret(ACCOUNT)["token"], world.pia.logins) == (TOKEN, 1)


def test_changed_credentials_are_tried_at_once(world: World) -> None:
    world.pia.login = Reply(401, "HTTP Token: Access denied.")
    world.credentials("wrong")
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("False", "BadCredentials"))
    world.pia.login = Reply(200, f'{{"token": "{TOKEN}"}}')
    world.credentials()
    world.loop.wake_all()
    eventually(lambda: world.vpn_condition("Authenticated") == ("True", "LoggedIn"))


def test_a_token_that_cannot_be_kept_is_not_asked_for_again_and_again(world: World) -> None:
    refused = threading.Event()

    def fault(call: Call) -> RefusalError | None:
        if call.resource == "secrets" and call.verb == "patch":
            refused.set()
            return RefusalError(403, "quota")
        return None

    world.api.fault = fault
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    assert refused.wait(timeout=20)
    for _ in range(5):
        world.pass_over("home")
    assert world.pia.logins == 1


def test_but_it_is_after_a_pause(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "_PAUSE_SECONDS", 0.2)
    failures = iter([True])
    world.api.fault = lambda call: (
        RefusalError(500, "etcd")
        if call.resource == "secrets" and call.verb == "patch" and next(failures, False)
        else None
    )
    world.credentials()
    world.vpn()
    world.loop.wake("home")
    eventually(lambda: world.vpn_condition("Authenticated") == ("True", "LoggedIn"))
    assert world.pia.logins == 2
