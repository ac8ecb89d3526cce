"""`kubectl piavpn status`: everything on one screen, and what is wrong in words."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import cli_world
import kube_server
import pytest
from cli_world import SYSTEM, Kubectl, Said, condition
from controller_world import eventually

from piavpn import kube
from piavpn.cli import main
from piavpn.cli.output import Output

api, kubectl = cli_world.api, cli_world.kubectl

GATEWAY = {"piavpn.dev/gateway": "home"}
READY, CONFINED = (
    condition("Ready", "True", "Ready"),
    condition("piavpn.dev/Confined", "True", "Attached"),
)
METRICS = "/api/v1/namespaces/piavpn-system/pods/piavpn-gateway-home-0:8080/proxy/metrics"
HANDSHAKE = """\
# HELP piavpn_handshake_timestamp_seconds When the last handshake was.
# TYPE piavpn_handshake_timestamp_seconds gauge
piavpn_handshake_timestamp_seconds{vpn="home"} 1.795435166e+09
"""


@pytest.fixture(autouse=True)
def _cluster(api: kube_server.Api) -> None:
    cli_world.put_vpn(api)
    cli_world.put_pod(api, "piavpn-gateway-home-0", SYSTEM, labels=GATEWAY)
    api.texts[METRICS] = HANDSHAKE
    cli_world.put_app(api)
    cli_world.put_pod(api)


def put_event(api: kube_server.Api, name: str, time: str, **fields: Any) -> None:
    about = {"kind": "PiaVpn", "name": "home"}
    api.put(
        kube.EVENTS, name, "default", lastTimestamp=time, **({"involvedObject": about} | fields)
    )


def test_what_works_is_shown_in_two_tables_and_what_happened_below(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    web = {"kind": "VpnServiceContainer", "name": "web", "namespace": "media"}
    put_event(
        api,
        "late",
        "2026-11-23T11:58:00Z",
        reason="Ready",
        message="Ready is True",
        involvedObject=web,
    )
    put_event(api, "early", "2026-11-23T10:00:00Z", reason="TunnelUp", message="zurich401 answers")
    assert kubectl.piavpn("status") == Said(
        0,
        "VPN    READY   REGION   SERVER      EXIT ADDRESS   PORT   HANDSHAKE   RENEWAL   GATEWAY"
        "   NODE\n"
        "home   yes     swiss    zurich401   198.18.11.1    -      34s ago     in 29d    Running"
        "   worker\n"
        "\n"
        "APP         VPN    READY   CONFINED   LEAK-FREE   ADDRESS       PORT   POD       NODE\n"
        "media/web   home   yes     yes        yes         10.100.0.10   -      Running   worker\n"
        "\n"
        "EVENTS\n"
        "2h ago   PiaVpn home     TunnelUp   zurich401 answers\n"
        "2m ago   app media/web   Ready      Ready is True\n",
    )


def test_what_is_not_right_is_told_in_words_and_ends_with_1(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    failing = condition("Registered", "True", "RenewalFailing", "a renewal is due and fails")
    cli_world.put_vpn(api, conditions=[failing])
    crashing = {"name": "app", "containerID": "containerd://2", "restartCount": 3}
    crashing["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    cli_world.put_pod(api, containerStatuses=[crashing])
    not_ready = condition("Ready", "False", "PodNotReady", "app ended with exit code 1")
    cli_world.put_app(api, conditions=[not_ready])
    said = kubectl.piavpn("status", "home")
    assert said.code == 1
    _, app, troubles = said.out.split("\n\n")
    assert "CrashLoopBackOff, 3 restarts" in app
    assert troubles == (
        "NOT AS IT SHOULD BE\n"
        "PiaVpn home           Registered is True: RenewalFailing: a renewal is due and fails\n"
        "app media/web         PodNotReady: app ended with exit code 1\n"
    )


def test_pods_by_label_have_rows_of_their_own(api: kube_server.Api, kubectl: Kubectl) -> None:
    safe = condition("piavpn.dev/LeakFree", "True", "NothingLeaked")
    cli_world.put_labelled_pod(api, conditions=[READY, CONFINED, safe])
    cli_world.put_labelled_pod(api, "job-y", phase="Succeeded")
    said = kubectl.piavpn("status")
    assert said.code == 0
    assert said.out.split("\n\n")[1] == (
        "APP                VPN    READY   CONFINED   LEAK-FREE   ADDRESS       PORT   POD"
        "       NODE\n"
        "media/web          home   yes     yes        yes         10.100.0.10   -      Running"
        "   worker\n"
        "office/crawler-x   home   yes     yes        yes         10.100.0.11   -      Running"
        "   worker\n"
    )
    assert json.loads(kubectl.piavpn("status", "-o", "json").out)["labelledPods"] == [
        {
            "vpn": "home",
            "address": "10.100.0.11",
            "conditions": [READY, CONFINED, safe],
            "pod": {
                "name": "crawler-x",
                "namespace": "office",
                "node": "worker",
                "state": "Running",
                "restarts": 0,
            },
        }
    ]
    for elsewhere in (["-n", "media"], ["away"]):
        cli_world.put_vpn(api, "away")
        assert "crawler" not in kubectl.piavpn("status", *elsewhere).out


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (
            [condition("piavpn.dev/Accepted", "False", "NoFreeAddress", "all are in use")],
            "Accepted is False: NoFreeAddress: all are in use",
        ),
        (
            [condition("piavpn.dev/Confined", "False", "AddressUnknown", "no address yet")],
            "Confined is False: AddressUnknown: no address yet",
        ),
        (
            [condition("piavpn.dev/LeakFree", "False", "Leaked", "got out: ping")],
            "LeakFree is False: Leaked: got out: ping",
        ),
        (
            [condition("Ready", "False", "ContainersNotReady", "unready: [app]")],
            "Ready is False: ContainersNotReady: unready: [app]",
        ),
    ],
)
def test_what_is_wrong_with_a_pod_by_label_is_told(
    api: kube_server.Api, kubectl: Kubectl, conditions: list[dict[str, Any]], words: str
) -> None:
    cli_world.put_labelled_pod(api, conditions=[READY, CONFINED])
    assert kubectl.piavpn("status").code == 0
    cli_world.put_labelled_pod(api, conditions=conditions)
    said = kubectl.piavpn("status")
    assert said.code == 1
    assert said.out.split("\n\n")[2] == f"NOT AS IT SHOULD BE\npod office/crawler-x   {words}\n"


def test_a_pod_by_label_that_ends_is_no_trouble(api: kube_server.Api, kubectl: Kubectl) -> None:
    cli_world.put_labelled_pod(api, conditions=[condition("Ready", "False", "ContainersNotReady")])
    ends = {"deletionTimestamp": "2026-11-23T11:59:00Z"}
    api.put(kube.PODS, "crawler-x", "office", metadata=ends)
    said = kubectl.piavpn("status")
    assert said.code == 0
    assert "Terminating" in said.out


def test_a_suspended_app_is_no_trouble(api: kube_server.Api, kubectl: Kubectl) -> None:
    asleep = condition("Ready", "False", "Suspended", "spec.suspend is true")
    cli_world.put_app(api, spec={"suspend": True}, conditions=[asleep])
    api.remove(kube.PODS, "web-0", "media")
    said = kubectl.piavpn("status")
    assert said.code == 0
    assert said.out.splitlines()[-1].split()[-2:] == ["suspended", "-"]


def test_one_tunnel_is_shown_with_its_own_apps_alone(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    cli_world.put_vpn(api, "away")
    cli_world.put_app(api, "other", spec={"vpnRef": {"name": "away"}})
    said = json.loads(kubectl.piavpn("status", "home", "-o", "json").out)
    assert [each["name"] for each in said["vpns"]] == ["home"]
    assert [each["name"] for each in said["apps"]] == ["web"]
    assert said["vpns"][0]["handshakeTime"] == "2026-11-23T11:59:26Z"
    assert said["vpns"][0]["gateway"] == {
        "name": "piavpn-gateway-home-0",
        "namespace": "piavpn-system",
        "node": "worker",
        "state": "Running",
        "restarts": 0,
    }
    assert said["troubles"] == []


def test_a_cluster_without_a_tunnel_says_so(api: kube_server.Api, kubectl: Kubectl) -> None:
    api.remove(kube.PIA_VPNS, "home")
    api.remove(kube.VPN_SERVICE_CONTAINERS, "web", "media")
    assert kubectl.piavpn("status") == Said(0, "There is no PiaVpn.\n")


def test_who_may_see_no_events_and_ask_no_gateway_still_sees_the_rest(
    api: kube_server.Api, kubectl: Kubectl
) -> None:
    api.texts.clear()
    api.allowed = lambda call: call.resource != "events"
    said = kubectl.piavpn("status")
    assert said.code == 0
    assert "198.18.11.1    -      -           in 29d" in said.out


def test_a_watch_shows_each_change(api: kube_server.Api, kubectl: Kubectl) -> None:
    out, ended = io.StringIO(), list[int]()
    arguments = ["status", "--watch", "--kubeconfig", str(kubectl.kubeconfig)]

    def watch() -> None:
        ended.append(main.run(arguments, Output(out, io.StringIO(), clock=lambda: cli_world.NOW)))

    watching = threading.Thread(target=watch)
    watching.start()
    eventually(lambda: "home   yes" in out.getvalue(), out.getvalue)
    cli_world.put_vpn(api, conditions=[condition("Ready", "False", "ServerSilent", "no pong")])
    eventually(
        lambda: "PiaVpn home           ServerSilent: no pong" in out.getvalue(), out.getvalue
    )
    # Nobody is there to press Ctrl-C.
    api.fault = lambda _: kube_server.RefusalError(500, "the end")
    api.put(kube.PIA_VPNS, "home", metadata={"annotations": {"an": "Event"}})
    watching.join()
    assert ended == [2]
