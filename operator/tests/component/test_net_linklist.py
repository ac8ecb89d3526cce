from __future__ import annotations

import pytest
from namespaces import Namespace

from piavpn.net import linklist


def test_links_are_listed_with_whose_ports_they_are(node: Namespace) -> None:
    node.run("ip link add br0 type bridge; ip link set br0 address 02:76:0a:64:00:01 alias owner/x")
    node.run("ip link add p type veth peer name q; ip link set p master br0")
    with node.entered():
        found = {link.name: link for link in linklist.dump()}
    assert set(found) == {"lo", "br0", "p", "q"}
    bridge, port = found["br0"], found["p"]
    assert bridge == linklist.Link(
        bridge.index, "br0", "owner/x", "bridge", master=0, mac="02:76:0a:64:00:01"
    )
    assert (port.alias, port.kind, port.master) == ("", "veth", bridge.index)
    assert f"{port.index}: p@q" in node.run("ip -o link")
    assert found["lo"].kind == ""


@pytest.mark.parametrize("number", [1, 100])
def test_all_of_many_links_are_listed(node: Namespace, number: int) -> None:
    node.run(f"for n in $(seq {number}); do ip link add many$n type bridge; done")
    with node.entered():
        found = [link.name for link in linklist.dump()]
    assert sorted(found) == sorted(["lo", *(f"many{each}" for each in range(1, number + 1))])
