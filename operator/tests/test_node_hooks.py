"""What the node agent makes of the words of the hook that tells an app its port."""

from __future__ import annotations

from typing import Any

import pytest
from test_node_view import SERVICE, pod

from piavpn.api.conditions import Status
from piavpn.node import hooks, readers
from piavpn.node.report import Report

FAILING = (
    "port 45678 could not be told in 5 attempts, exit code 7; it is tried again: "
    "see the logs of container piavpn-port-hook"
)
STOPPED = (
    "port 45678 could not be told and is not tried again, exit code 78: "
    "see the logs of container piavpn-port-hook"
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("told 45678 0 0\n", Report(Status.TRUE, "Told", "port 45678 was told")),
        (
            "told 45678 5 0\n",
            Report(Status.TRUE, "Told", "port 45678 was told after 5 failed attempts"),
        ),
        ("failing 45678 5 7\n", Report(Status.FALSE, "HookFailing", FAILING)),
        ("stopped 45678 1 78\n", Report(Status.FALSE, "HookStopped", STOPPED)),
    ],
)
def test_a_hook_s_word_is_told(message: str, expected: Report) -> None:
    assert hooks.report(message) == expected


@pytest.mark.parametrize(
    "message",
    ["", "told", "told 45678 0 0", "told 45678 0 0\nmore\n", "told \x1b[2J 0 0\n", "told ٣ 0 0\n"],
)
def test_anything_else_is_not_let_through(message: str) -> None:
    assert (hooks.report(message).status, hooks.report(message).reason) == ("Unknown", "HookSilent")


def with_hook(**state: Any) -> dict[str, Any]:
    containers = [{"name": "app"}, {"name": "piavpn-port-hook"}]
    hook = {"name": "piavpn-port-hook", "containerID": "containerd://abc", "state": state}
    status = {"phase": "Running", "containerStatuses": [hook]}
    return pod(SERVICE, spec={"containers": containers}, status=status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (with_hook(running={}), "abc"),
        (with_hook(waiting={}), ""),
        (pod(SERVICE, spec={"containers": [{"name": "app"}]}), None),
    ],
)
def test_a_hook_is_known_by_its_container_while_that_runs(
    body: dict[str, Any], expected: str | None
) -> None:
    seen = readers.read_service_pod(body)
    assert seen is not None
    assert seen.pod.port_hook == expected
