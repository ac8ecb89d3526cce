from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import kube_server
import pytest

from piavpn import kube
from piavpn.node import lease

HOLDER = lease.Holder("n1", "piavpn-node-agent-x7x", "piavpn-system")


class Agent:
    def __init__(self, api: kube_server.Api) -> None:
        self.passes = 0
        self.node: str | None = "u-n1"
        self.heartbeat = lease.Heartbeat(
            api.cluster(), HOLDER, node_uid=lambda: self.node, passes=lambda: self.passes
        )


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


@pytest.fixture
def agent(api: kube_server.Api) -> Agent:
    return Agent(api)


def renewals(api: kube_server.Api) -> list[Any]:
    return [call for call in api.calls if call.resource == "leases"]


def test_an_agent_that_has_looked_after_its_pods_has_a_lease_that_goes_with_its_node(
    api: kube_server.Api, agent: Agent
) -> None:
    agent.passes = 1
    assert agent.heartbeat.renew()
    made = api.get(kube.LEASES, "piavpn-node-agent-n1", "piavpn-system")
    assert made["metadata"]["labels"] == {"piavpn.dev/node-agent": ""}
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1"}
    ]
    assert datetime.fromisoformat(made["spec"].pop("renewTime")).tzinfo
    assert made["spec"] == {"holderIdentity": "piavpn-node-agent-x7x", "leaseDurationSeconds": 40}


def test_nothing_is_renewed_before_the_first_pass_nor_without_another(
    api: kube_server.Api, agent: Agent
) -> None:
    assert not agent.heartbeat.renew()
    agent.passes = 1
    assert agent.heartbeat.renew()
    assert not agent.heartbeat.renew()
    agent.passes = 2
    assert agent.heartbeat.renew()
    assert len(renewals(api)) == 2


def test_an_agent_that_does_not_know_its_node_yet_waits(api: kube_server.Api, agent: Agent) -> None:
    agent.passes, agent.node = 1, None
    assert not agent.heartbeat.renew()
    agent.node = "u-n1"
    assert agent.heartbeat.renew()
    assert len(renewals(api)) == 1


def test_what_could_not_be_renewed_is_tried_again(api: kube_server.Api, agent: Agent) -> None:
    agent.passes = 1
    api.fault = lambda _call: kube_server.RefusalError(503, "not now")
    with pytest.raises(kube.KubeError, match="not now"):
        agent.heartbeat.renew()
    api.fault = lambda _call: None
    assert agent.heartbeat.renew()
