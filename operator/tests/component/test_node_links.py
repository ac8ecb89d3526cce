"""The agent's WireGuard links, whichever kind this machine's kernel lets it make."""

from __future__ import annotations

import json

import wireguards
from namespaces import Namespace, eventually

from piavpn.node import links


def test_the_kernels_wireguard_is_used_where_it_has_one(
    add_link: wireguards.Add, wireguard: links.Links, pod: Namespace
) -> None:
    add_link("piaw0")
    (told,) = json.loads(pod.run("ip -details -json link show piaw0"))
    kind = told["linkinfo"]["info_kind"]
    assert (kind, wireguard.reap()) == (("wireguard", 0) if wireguards.in_kernel() else ("tun", 1))


def test_a_link_is_in_the_gateways_namespace_and_its_packets_leave_by_the_nodes(
    add_link: wireguards.Add, node: Namespace, pod: Namespace
) -> None:
    add_link("piaw0")
    add_link("piaw1")
    assert "piaw" not in node.run("ip -o link")
    assert "mtu 1380" in pod.run("ip -o link show piaw0")
    wireguards.wg(pod, "set piaw0 listen-port 51000")
    pod.run("ip link set piaw0 up")
    eventually(lambda: ":51000" in node.run("ss -lunH"), what="its socket in the node's")
    assert ":51000" not in pod.run("ss -lunH")


def test_the_gateways_user_configures_its_link(add_link: wireguards.Add, pod: Namespace) -> None:
    add_link("piaw0")
    assert wireguards.wg(pod, "show interfaces") == "piaw0\n"
    wireguards.wg(pod, "set piaw0 listen-port 51000")
    assert "51000" in wireguards.wg(pod, "show piaw0 listen-port")


def test_a_link_left_over_in_the_nodes_namespace_is_replaced(
    add_link: wireguards.Add, node: Namespace, pod: Namespace
) -> None:
    node.run("ip tuntap add piaw0 mode tun")
    add_link("piaw0")
    assert "piaw0" not in node.run("ip -o link")
    assert "piaw0" in pod.run("ip -o link")
