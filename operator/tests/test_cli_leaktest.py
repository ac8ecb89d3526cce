"""`kubectl piavpn leaktest`: asked of the node agents, answered in the pods' conditions."""

from __future__ import annotations

import json
from typing import Any

import cli_world
import kube_server
from cli_world import Kubectl, Said, condition

from piavpn import kube

api, kubectl = cli_world.api, cli_world.kubectl

CONFINED = condition("piavpn.dev/Confined", "True", "Attached")
PASSED = "20 attempts to get out past the tunnel failed; raw frames are dropped on the node's side"
ASKED = "; asked for at 2026-11-23T12:00:00Z"


def judged(status: str, reason: str, message: str) -> list[dict[str, Any]]:
    return [CONFINED, condition("piavpn.dev/LeakFree", status, reason, message)]


def answering(api: kube_server.Api, status: str, reason: str, message: str) -> None:
    """Have the node agent answer so when it is asked."""
    conditions = judged(status, reason, message)
    cli_world.on_patch(api, "pods", lambda: cli_world.put_pod(api, "web-0", conditions=conditions))


def put_old_answer(api: kube_server.Api) -> None:
    cli_world.put_app(api)
    cli_world.put_pod(api, conditions=judged("True", "NothingLeaked", PASSED))


def test_a_test_is_asked_for_and_its_answer_shown(api: kube_server.Api, kubectl: Kubectl) -> None:
    put_old_answer(api)
    answering(api, "True", "NothingLeaked", PASSED + ASKED)
    assert kubectl.piavpn("leaktest", "web") == Said(
        0,
        "APP         NODE     RESULT    ATTEMPTS   DETAIL\n"
        f"media/web   worker   no leak   20         {PASSED}\n",
    )
    annotations = api.get(kube.PODS, "web-0", "media")["metadata"]["annotations"]
    assert annotations == {"piavpn.dev/leak-test-requested-at": "2026-11-23T12:00:00Z"}


def test_a_pod_by_label_is_tested_by_its_own_name_and_among_all(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_labelled_pod(api, conditions=judged("True", "NothingLeaked", PASSED))
    answer = judged("True", "NothingLeaked", PASSED + ASKED)
    cli_world.on_patch(api, "pods", lambda: cli_world.put_labelled_pod(api, conditions=answer))
    shown = Said(
        0,
        "APP                NODE     RESULT    ATTEMPTS   DETAIL\n"
        f"office/crawler-x   worker   no leak   20         {PASSED}\n",
    )
    for arguments in (["office/crawler-x"], ["crawler-x", "-n", "office"], [], ["-n", "office"]):
        assert kubectl.piavpn("leaktest", *arguments) == shown
        annotations = api.get(kube.PODS, "crawler-x", "office")["metadata"]["annotations"]
        assert annotations.pop("piavpn.dev/leak-test-requested-at") == "2026-11-23T12:00:00Z"
        api.put(
            kube.PODS,
            "crawler-x",
            "office",
            metadata={"annotations": {"piavpn.dev/leak-test-requested-at": None}},
            status={"conditions": judged("True", "NothingLeaked", PASSED)},
        )


def test_an_app_and_a_pod_by_label_of_one_name_are_two(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_app(api, spec={"suspend": True})
    waits = condition("piavpn.dev/Confined", "False", "AddressUnknown", "it has no address yet")
    cli_world.put_labelled_pod(api, "web", "media", conditions=[waits])
    assert kubectl.piavpn("leaktest") == Said(
        1,
        "APP         NODE     RESULT       ATTEMPTS   DETAIL\n"
        "media/web   -        not tested   -          suspended\n"
        "media/web   worker   not tested   -          AddressUnknown: it has no address yet\n",
    )
    assert kubectl.piavpn("leaktest", "web").code == 0  # the app


def test_a_leak_ends_with_1_and_is_named(api: kube_server.Api, kubectl: Kubectl) -> None:
    put_old_answer(api)
    answering(api, "False", "Leaked", "got out: TCP bound to a link left by eth0")
    said = kubectl.piavpn("leaktest", "media/web")
    assert said.code == 1
    assert said.out.splitlines()[1] == (
        "media/web   worker   LEAK     -          got out: TCP bound to a link left by eth0"
    )


def test_a_pod_that_goes_meanwhile_is_not_waited_for(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_old_answer(api)
    silent = condition("LeakFree", "Unknown", "NoPod", "no pod of it is on any node")
    cli_world.put_app(api, conditions=[silent])
    cli_world.on_patch(api, "pods", lambda: api.remove(kube.PODS, "web-0", "media"))
    said = kubectl.piavpn("leaktest", "web")
    assert said.code == 1
    assert said.out.splitlines()[1] == (
        "media/web   worker   unknown   -          the node's agent has not answered; "
        "LeakFree is Unknown: no pod of it is on any node"
    )


def test_all_of_the_cluster_are_tested_and_what_is_not_confined_is_told(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_old_answer(api)
    cli_world.put_app(api, "asleep", "office", spec={"suspend": True})
    cli_world.put_app(api, "late", "office")
    cli_world.put_pod(
        api,
        "late-0",
        "office",
        labels={"piavpn.dev/vpn": "home", "piavpn.dev/service": "late"},
        conditions=[condition("piavpn.dev/Confined", "False", "AttachFailed", "no bridge")],
    )
    answering(api, "True", "NothingLeaked", PASSED + ASKED)
    assert kubectl.piavpn("leaktest") == Said(
        1,
        "APP             NODE     RESULT       ATTEMPTS   DETAIL\n"
        f"media/web       worker   no leak      20         {PASSED}\n"
        "office/asleep   -        not tested   -          suspended\n"
        "office/late     worker   not tested   -          AttachFailed: no bridge\n",
    )


def test_an_app_that_sleeps_is_no_reason_to_worry(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_app(api, spec={"suspend": True})
    said = kubectl.piavpn("leaktest", "-o", "json")
    assert said.code == 0
    assert json.loads(said.out) == [
        {
            "app": "media/web",
            "result": "not tested",
            "detail": "suspended",
            "node": None,
            "attempts": None,
        }
    ]


def test_a_pod_that_is_behind_no_tunnel_by_label_is_none_to_test(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    put_old_answer(api)
    cli_world.put_pod(api, "ordinary", labels={"app": "ordinary"})
    for name in ("web-0", "ordinary"):
        assert kubectl.piavpn("leaktest", name).err.startswith(
            f"error: there is no VpnServiceContainer or labelled pod '{name}' in namespace 'media'"
        )
    assert kubectl.piavpn("leaktest", "-n", "empty") == Said(
        2,
        "",
        "error: there is nothing to test: no VpnServiceContainer, and no pod with label "
        "piavpn.dev/vpn\n",
    )


def test_an_unknown_app_is_answered_with_similar_names(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_app(api, "web", "office")
    assert kubectl.piavpn("leaktest", "web") == Said(
        2,
        "",
        "error: there is no VpnServiceContainer or labelled pod 'web' in namespace 'media': "
        "did you mean office/web?\n",
    )
