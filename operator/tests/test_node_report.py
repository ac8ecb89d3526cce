from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import kube_server
import pytest

from piavpn import kube
from piavpn.api.conditions import Status
from piavpn.api.types import PiaVpn, VpnServiceContainer
from piavpn.node.model import Owner
from piavpn.node.report import Report, Reporter
from piavpn.node.view import Resource

HOME = Owner("home")
APP = Owner("app", "media")
ATTACHED = Report(Status.TRUE, "Attached", "10.100.0.2 on bridge br-home of node n1", "n1")
FAILED = Report(Status.FALSE, "AttachFailed", "CNI plugin bridge: no such thing", "n1")


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        made.put(kube.PIA_VPNS, "home", spec={"credentialsSecretRef": {"name": "pia"}})
        made.put(
            kube.VPN_SERVICE_CONTAINERS,
            "app",
            "media",
            spec={"vpnRef": {"name": "home"}, "image": "web"},
        )
        yield made


def new_reporter(api: kube_server.Api) -> Reporter:
    def resources() -> dict[Owner, Resource]:
        vpn = PiaVpn.from_body(api.get(kube.PIA_VPNS, "home"))
        app = VpnServiceContainer.from_body(api.get(kube.VPN_SERVICE_CONTAINERS, "app", "media"))
        status = vpn.status
        return {
            HOME: Resource(vpn.uid, vpn.generation, status.conditions, status.node_name),
            APP: Resource(app.uid, app.generation, app.status.conditions, None),
        }

    return Reporter(api.cluster(), resources, "n1")


@pytest.fixture
def reporter(api: kube_server.Api) -> Reporter:
    return new_reporter(api)


def told(reporter: Reporter, reports: dict[Owner, Report]) -> None:
    reporter.tell(reports)
    reporter.write()


def status(api: kube_server.Api, owner: Owner) -> dict[str, Any]:
    kind = kube.PIA_VPNS if owner.is_vpn else kube.VPN_SERVICE_CONTAINERS
    found: dict[str, Any] = api.get(kind, owner.name, owner.namespace).get("status", {})
    for condition in found.get("conditions", []):
        assert condition.pop("lastTransitionTime")
    return found


def test_an_attached_gateway_is_told_with_its_node(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, {HOME: ATTACHED})
    assert status(api, HOME) == {
        "nodeName": "n1",
        "conditions": [
            {
                "type": "GatewayAttached",
                "status": "True",
                "reason": "Attached",
                "message": "10.100.0.2 on bridge br-home of node n1",
                "observedGeneration": 1,
            }
        ],
    }
    (change,) = api.changes
    assert (change.resource, change.query) == (
        "piavpns/status",
        "fieldManager=piavpn-node-agent&force=false",
    )


def test_a_service_that_cannot_be_attached_is_told_why(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, {APP: FAILED})
    assert status(api, APP) == {
        "conditions": [
            {
                "type": "Confined",
                "status": "False",
                "reason": "AttachFailed",
                "message": "CNI plugin bridge: no such thing",
                "observedGeneration": 1,
            }
        ],
    }


def test_what_the_api_says_already_is_not_written_again(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, {HOME: ATTACHED, APP: FAILED})
    told(reporter, {HOME: ATTACHED, APP: FAILED})
    told(new_reporter(api), {HOME: ATTACHED, APP: FAILED})
    assert len(api.calls) == 2


def test_the_transition_time_stays_while_the_status_does(
    api: kube_server.Api, reporter: Reporter
) -> None:
    api.put(
        kube.PIA_VPNS,
        "home",
        status={
            "conditions": [
                {
                    "type": "GatewayAttached",
                    "status": "True",
                    "reason": "Attached",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ]
        },
    )
    told(reporter, {HOME: ATTACHED})
    (condition,) = api.get(kube.PIA_VPNS, "home")["status"]["conditions"]
    assert condition["message"] == ATTACHED.message
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_a_pod_that_is_gone_is_told(api: kube_server.Api, reporter: Reporter) -> None:
    told(reporter, {HOME: ATTACHED, APP: ATTACHED})
    told(reporter, {})
    for owner in (HOME, APP):
        (condition,) = status(api, owner)["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "NoPod")


def test_a_gateway_that_went_while_no_agent_ran_is_told(
    api: kube_server.Api, reporter: Reporter
) -> None:
    api.put(kube.PIA_VPNS, "home", status={"nodeName": "n1"})
    told(reporter, {})
    (condition,) = status(api, HOME)["conditions"]
    assert condition["reason"] == "NoPod"


def test_a_pod_that_moved_is_left_to_the_agent_there(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, {APP: ATTACHED})
    api.put(kube.PODS, "app-0", "media", spec={"nodeName": "n2"})
    api.put(kube.PODS, "app-0", "media", metadata={"labels": {"piavpn.dev/service": "app"}})
    before = len(api.changes)
    told(reporter, {})
    assert len(api.changes) == before


def test_a_report_is_written_when_the_api_is_back(api: kube_server.Api, reporter: Reporter) -> None:
    faults = [kube_server.RefusalError(503, "not now")]
    api.fault = lambda _call: faults.pop() if faults else None
    stop = threading.Event()
    thread = threading.Thread(target=reporter.run, args=(stop,))
    thread.start()
    reporter.tell({HOME: ATTACHED})
    deadline = time.monotonic() + 10
    while not api.changes and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    reporter.tell({})
    thread.join()
    assert status(api, HOME)["conditions"][0]["reason"] == "Attached"
