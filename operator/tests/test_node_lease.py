from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import kube_server
import pytest

from piavpn import kube
from piavpn.api import node_facts
from piavpn.api.node_facts import NodeFacts, WireGuard
from piavpn.node import facts, lease

HOLDER = lease.Holder("n1", "piavpn-node-agent-x7x", "piavpn-system")
FACTS = NodeFacts(
    kernel="6.18.0",
    wireguard=WireGuard.KERNEL,
    nftables=True,
    cilium=False,
    bridged_by_iptables=True,
    tested=3,
    raw_frames_unseen=1,
    raw_frames_unknown=2,
)


class Agent:
    def __init__(self, api: kube_server.Api) -> None:
        self.passes = 0
        self.node: str | None = "u-n1"
        self.heartbeat = lease.Heartbeat(
            api.cluster(),
            HOLDER,
            node_uid=lambda: self.node,
            passes=lambda: self.passes,
            facts=lambda: FACTS,
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


def test_the_lease_tells_what_the_agent_knows_of_its_node(
    api: kube_server.Api, agent: Agent
) -> None:
    agent.passes = 1
    assert agent.heartbeat.renew()
    made = api.get(kube.LEASES, "piavpn-node-agent-n1", "piavpn-system")
    told = made["metadata"]["annotations"]["piavpn.dev/node-facts"]
    assert json.loads(told) == {
        "kernel": "6.18.0",
        "wireguard": "kernel",
        "nftables": True,
        "cilium": False,
        "bridgedByIptables": True,
        "tested": 3,
        "rawFramesUnseen": 1,
        "rawFramesUnknown": 2,
    }
    assert node_facts.from_annotation(told) == FACTS


@pytest.mark.parametrize("told", [None, "", "{}", "[1]", "no JSON", '{"kernel": 6}'])
def test_what_another_version_s_agent_tells_is_not_guessed_at(told: str | None) -> None:
    assert node_facts.from_annotation(told) is None


@pytest.mark.parametrize(
    ("loaded", "listed", "tun", "way"),
    [
        (True, "", False, "kernel"),
        (False, "kernel/drivers/net/wireguard/wireguard.ko:", False, "kernel"),
        (False, "kernel/drivers/net/tun.ko:", True, "userspace"),
        (False, "", False, "none"),
    ],
)
def test_how_a_node_makes_wireguard_links_is_read_without_making_one(
    tmp_path: Path, *, loaded: bool, listed: str, tun: bool, way: str
) -> None:
    modules = tmp_path / "modules" / os.uname().release
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text(listed)
    for wanted, name in ((loaded, "wireguard"), (tun, "tun")):
        if wanted:
            (tmp_path / name).touch()
    found = facts.wireguard(tmp_path / "wireguard", tmp_path / "modules", tmp_path / "tun")
    assert found == way
