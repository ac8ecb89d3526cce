from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kube_server
import pod_specs
import pytest

from piavpn import kube
from piavpn.api.conditions import PodCondition, Status
from piavpn.node import report, view
from piavpn.node.model import Gate, Owner, Pod, Role
from piavpn.node.report import PodReport, Report, Reporter

GATEWAY = Pod("u-gw", "gateway-0", "piavpn-system", Role.GATEWAY, "home", Owner("home"), None)
APP = Pod("u-app", "app-0", "media", Role.SERVICE, "home", Owner("app", "media"), None)
ATTACHED = Report(Status.TRUE, "Attached", "10.100.0.2 on bridge br-home of node n1")
FAILED = Report(Status.FALSE, "AttachFailed", "CNI plugin bridge: no such thing")
WAITING = Report(Status.FALSE, "Waiting", "vpn0 is not here yet")
PASSED = Report(Status.TRUE, "Passed")

Reports = dict[str, PodReport]


def of_gateway(confined: Report) -> Reports:
    return {"u-gw": PodReport(GATEWAY, {PodCondition.CONFINED: confined})}


def of_app(confined: Report, gate: Report = WAITING) -> Reports:
    told = {
        PodCondition.CONFINED: confined,
        PodCondition.GATE_PASSED: gate,
        PodCondition.LEAK_FREE: report.NOT_TESTED,
    }
    return {"u-app": PodReport(APP, told)}


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        for pod in (GATEWAY, APP):
            kubelets = [{"type": "Ready", "status": "False"}]
            made.put(
                kube.PODS,
                pod.name,
                pod.namespace,
                metadata={"uid": pod.uid, "labels": LABELS[pod.role]},
                spec=pod_specs.confined(),
                status={"conditions": kubelets},
            )
        yield made


LABELS = {
    Role.GATEWAY: {"piavpn.dev/gateway": "home"},
    Role.SERVICE: {"piavpn.dev/vpn": "home", "piavpn.dev/service": "app"},
}


def new_reporter(api: kube_server.Api) -> Reporter:
    """Return the reporter of an agent that has just been started."""
    seen = view.View(node="n1", namespace="piavpn-system")

    def told() -> Any:
        for pod in api.all(kube.PODS):
            gateway = "piavpn.dev/gateway" in pod["metadata"]["labels"]
            (seen.gateway_pods if gateway else seen.service_pods).take("MODIFIED", pod)
        return seen.told()

    return Reporter(api.cluster(), told)


@pytest.fixture
def reporter(api: kube_server.Api) -> Reporter:
    return new_reporter(api)


def told(reporter: Reporter, reports: Reports) -> None:
    reporter.tell(reports)
    reporter.write()


def conditions(api: kube_server.Api, pod: Pod) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(kube.PODS, pod.name, pod.namespace)["status"][
        "conditions"
    ]
    return found


def test_the_state_of_a_pod_is_told_in_its_own_conditions_beside_the_kubelets(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, of_app(FAILED))
    found = conditions(api, APP)
    for condition in found[1:]:
        assert condition.pop("lastTransitionTime")
    assert found == [
        {"type": "Ready", "status": "False"},
        {
            "type": "piavpn.dev/Confined",
            "status": "False",
            "reason": "AttachFailed",
            "message": "CNI plugin bridge: no such thing",
        },
        {
            "type": "piavpn.dev/GatePassed",
            "status": "False",
            "reason": "Waiting",
            "message": "vpn0 is not here yet",
        },
        {
            "type": "piavpn.dev/LeakFree",
            "status": "Unknown",
            "reason": "NotTestedYet",
            "message": "no leak test of the pod has ended since it was attached",
        },
    ]
    (change,) = api.changes
    assert (change.verb, change.resource, change.namespace, change.name) == (
        "patch",
        "pods/status",
        "media",
        "app-0",
    )
    assert change.query == "fieldManager=piavpn-node-agent&force=false"


def test_of_a_gateway_its_confinement_alone_is_told(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, of_gateway(ATTACHED))
    _, condition = conditions(api, GATEWAY)
    assert (condition["type"], condition["status"]) == ("piavpn.dev/Confined", "True")


def test_a_change_of_one_pod_is_one_write_and_no_change_is_none(
    api: kube_server.Api, reporter: Reporter
) -> None:
    told(reporter, of_gateway(ATTACHED) | of_app(FAILED))
    told(reporter, of_gateway(ATTACHED) | of_app(FAILED))
    told(new_reporter(api), of_gateway(ATTACHED) | of_app(FAILED))
    assert len(api.calls) == 2
    told(reporter, of_gateway(ATTACHED) | of_app(ATTACHED, PASSED))
    assert [call.name for call in api.calls[2:]] == ["app-0"]


def test_the_transition_time_stays_while_the_status_does(
    api: kube_server.Api, reporter: Reporter
) -> None:
    old = {
        "type": "piavpn.dev/Confined",
        "status": "True",
        "reason": "Attached",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    api.put(kube.PODS, "gateway-0", "piavpn-system", status={"conditions": [old]})
    told(reporter, of_gateway(ATTACHED))
    _, condition = conditions(api, GATEWAY)
    assert condition["message"] == ATTACHED.message
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_a_condition_that_makes_no_sense_is_replaced(
    api: kube_server.Api, reporter: Reporter
) -> None:
    strange = {"type": "piavpn.dev/Confined", "status": "Perhaps", "reason": "Attached"}
    api.put(kube.PODS, "gateway-0", "piavpn-system", status={"conditions": [strange]})
    told(reporter, of_gateway(ATTACHED))
    _, condition = conditions(api, GATEWAY)
    assert condition["status"] == "True"


def test_what_is_refused_of_one_pod_holds_up_no_other(
    api: kube_server.Api, reporter: Reporter
) -> None:
    api.fault = lambda call: (
        kube_server.RefusalError(409, "another pod") if call.name == "gateway-0" else None
    )
    reporter.tell(of_gateway(ATTACHED) | of_app(ATTACHED))
    with pytest.raises(kube.KubeError, match="another pod"):
        reporter.write()
    assert [change.name for change in api.changes] == ["app-0"]
    assert not reporter.settled


def test_nothing_is_settled_before_the_first_report_is_written(reporter: Reporter) -> None:
    reporter.write()
    assert not reporter.settled
    reporter.tell({})
    reporter.write()
    assert reporter.settled


def test_a_report_is_written_when_the_api_is_back(api: kube_server.Api, reporter: Reporter) -> None:
    faults = [kube_server.RefusalError(503, "not now")]
    api.fault = lambda _call: faults.pop() if faults else None
    stop = threading.Event()
    thread = threading.Thread(target=reporter.run, args=(stop,))
    thread.start()
    reporter.tell(of_gateway(ATTACHED))
    eventually(lambda: reporter.settled)
    stop.set()
    reporter.tell({})
    thread.join()
    assert conditions(api, GATEWAY)[1]["reason"] == "Attached"


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(), Report(Status.FALSE, "Waiting", "the gate has not been started yet")),
        (
            Gate("0123"),
            Report(Status.FALSE, "Waiting", "see the logs of container piavpn-gate"),
        ),
        (Gate(passed=True), Report(Status.TRUE, "Passed")),
    ],
)
def test_a_gate_is_passed_when_the_kubelet_says_that_it_ended_well(
    gate: Gate, expected: Report
) -> None:
    assert report.gate(gate) == expected
