from __future__ import annotations

import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import kube_server
import pytest

from piavpn import kube
from piavpn.api import node_keys
from piavpn.api.node_keys import NodeKey
from piavpn.net import wg
from piavpn.node.nodekey import NodeKey as OwnKey
from piavpn.node.publication import Publisher

KEY = "OBiYs5MPvoiSrgVFhZNjjb4CKMFnQXA0OLedj3hKw3U="
OTHER_KEY = "x9F6uPJ3hYjy3FMgIcqs5McQL3HozRTfhDKfBzLIPjw="
METADATA = {
    "name": "piavpn-node-n1",
    "namespace": "piavpn-system",
    "labels": {"piavpn.dev/node": "n1"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1"}],
}
PUBLISHED = {"metadata": METADATA, "data": {"publicKey": KEY}}


@pytest.fixture
def api() -> Iterator[kube_server.Api]:
    with kube_server.serving() as made:
        yield made


class Agent:
    """An agent of node n1 whose key is KEY."""

    def __init__(self, api: kube_server.Api) -> None:
        self.wanted = True
        self.said: str | None = None
        self.node: str | None = "u-n1"
        self.publisher = Publisher(
            api.cluster(),
            node="n1",
            namespace="piavpn-system",
            public_key=lambda: KEY,
            node_uid=lambda: self.node,
            wanted=lambda: self.wanted,
            published=lambda: self.said,
        )


def written(api: kube_server.Api) -> list[Any]:
    return [call for call in api.changes if call.resource == "configmaps"]


def test_the_key_stands_in_a_config_map_that_goes_with_the_node(api: kube_server.Api) -> None:
    Agent(api).publisher.publish()
    there = api.get(kube.CONFIG_MAPS, "piavpn-node-n1", "piavpn-system")
    assert there["data"] == {"publicKey": KEY}
    assert there["metadata"]["labels"] == {"piavpn.dev/node": "n1"}
    assert there["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1"}
    ]
    assert node_keys.from_config_map(there) == NodeKey("n1", KEY)


def test_a_key_that_the_api_says_already_is_not_written_again(api: kube_server.Api) -> None:
    agent = Agent(api)
    agent.said = KEY
    agent.publisher.publish()
    assert not written(api)
    # The control: the key of the node's last start is replaced.
    agent.said = OTHER_KEY
    agent.publisher.publish()
    assert len(written(api)) == 1


def test_without_a_vpn_that_wants_it_or_a_known_node_there_is_no_config_map(
    api: kube_server.Api,
) -> None:
    agent = Agent(api)
    agent.wanted = False
    agent.publisher.publish()
    agent.wanted, agent.node = True, None
    agent.publisher.publish()
    assert not written(api)


def test_what_is_published_is_read() -> None:
    assert node_keys.config_map(NodeKey("n1", KEY), namespace="piavpn-system", node_uid="u-n1") == (
        PUBLISHED
    )
    assert node_keys.from_config_map(PUBLISHED) == NodeKey("n1", KEY)


@pytest.mark.parametrize(
    "data",
    [{"publicKey": "short="}, {"publicKey": f"{KEY}\nEndpoint = 203.0.113.9:1"}, {}],
    ids=["short", "more than a key", "nothing"],
)
def test_a_config_map_that_holds_no_key_is_refused(data: dict[str, str]) -> None:
    with pytest.raises((ValueError, KeyError)):
        node_keys.from_config_map(PUBLISHED | {"data": data})


def test_a_config_map_that_says_another_nodes_name_is_refused() -> None:
    labels = {"piavpn.dev/node": "n2"}
    with pytest.raises(ValueError, match="'n2', whose ConfigMap it is not"):
        node_keys.from_config_map(
            {"metadata": {**METADATA, "labels": labels}, "data": {"publicKey": KEY}}
        )


def test_a_nodes_key_is_made_once_and_kept_where_root_alone_reads_it(
    tmp_path: pathlib.Path,
) -> None:
    directory = tmp_path / ".nodes"
    made = OwnKey(directory).pair()
    assert wg.public_key(made.private) == made.public
    assert OwnKey(directory).pair() == made
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in directory.iterdir()] == [
        ("key", 0o600)
    ]


def test_a_file_that_holds_no_key_is_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "key").write_text("")
    made = OwnKey(tmp_path).pair()
    assert (tmp_path / "key").read_text() == f"{made.private}\n"
