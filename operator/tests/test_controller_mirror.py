"""What node agents say of pods, as it stands in the custom resources."""

from __future__ import annotations

import pytest
from controller_decisions import NO_POD, WITH_POD, WITHOUT_POD, false, true, unknown
from controller_samples import EARLIER, pod

from piavpn.api.conditions import ServiceCondition
from piavpn.controller import mirror, model

FAILED = {
    "type": "piavpn.dev/Confined",
    "status": "False",
    "reason": "LockFailed",
    "message": "nft: no such thing",
}


def test_what_the_agent_says_of_a_pod_is_told_in_its_words() -> None:
    assert mirror.of_service(pod(), {}) == WITH_POD
    assert mirror.of_gateway(pod(), {}) == true("Attached")
    assert mirror.of_gateway(pod(told=(FAILED,)), {}) == false("LockFailed", "nft: no such thing")


@pytest.mark.parametrize(
    "gone",
    [None, pod(node=None), pod(phase="Failed"), pod(phase="Succeeded")],
    ids=["no pod", "not scheduled", "failed", "ended"],
)
def test_without_a_pod_on_a_node_nothing_is_confined_whatever_was_said(
    gone: model.Object | None,
) -> None:
    assert mirror.of_service(gone, {}) == WITHOUT_POD
    assert mirror.of_gateway(gone, {}) == false("NoPod", NO_POD)


def test_a_pod_of_which_nothing_was_said_yet_is_not_known() -> None:
    not_yet = unknown("NotReported", "the agent of node n1 has said nothing of the pod yet")
    assert mirror.of_service(pod(told=()), {}) == {
        ServiceCondition.CONFINED: not_yet,
        ServiceCondition.LEAK_FREE: not_yet,
    }


def test_what_a_silent_agent_once_said_proves_nothing() -> None:
    silent = unknown(
        "NodeAgentSilent",
        "the agent of node n1 was not heard of since 2026-11-23T11:00:00Z: see whether the node is "
        "up, and the piavpn-node-agent pod on it",
    )
    silence = {"n1": model.Silence(EARLIER)}
    assert mirror.of_gateway(pod(), silence) == silent
    assert mirror.of_service(pod(), silence) == {
        ServiceCondition.CONFINED: silent,
        ServiceCondition.LEAK_FREE: silent,
    }


def test_an_agent_that_never_was_is_silent_too() -> None:
    found = mirror.of_gateway(pod(), {"n1": model.Silence(None)})
    assert found == unknown(
        "NodeAgentSilent",
        "the agent of node n1 was not heard of ever: see whether the node is up, and the "
        "piavpn-node-agent pod on it",
    )


def test_the_silence_of_another_node_s_agent_does_not_matter() -> None:
    assert mirror.of_service(pod(), {"n2": model.Silence(EARLIER)}) == WITH_POD
