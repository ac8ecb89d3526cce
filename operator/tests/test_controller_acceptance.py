"""What of the cluster itself is in a PiaVpn's way."""

from __future__ import annotations

import ipaddress

import kube_server
import pytest
from controller_decisions import ACCEPTED, false, true
from controller_samples import seen

from piavpn import kube
from piavpn.controller import decide, ranges

SET = "set PIAVPN_CLUSTER_CIDRS of the operator's Deployment and the node agent's DaemonSet"


def test_a_cluster_whose_first_family_is_ipv6_is_refused_before_its_networks_are_missed() -> None:
    api = ipaddress.ip_address("fd00::1")
    found = decide.decide(seen(api_address=api, cluster_cidrs=()))
    assert found.verdicts[ACCEPTED] == false(
        "IPv6Cluster",
        "the cluster's first address family is IPv6 (its API server's Service has fd00::1), and a "
        "confined pod has IPv4 alone: nothing would reach it; use a cluster that is IPv4, or "
        "dual-stack with IPv4 first",
    )
    assert found.gateway is None


def test_networks_that_nobody_names_are_asked_for() -> None:
    found = decide.decide(seen(cluster_cidrs=())).verdicts[ACCEPTED]
    assert found.reason == "ClusterCIDRsUnknown"
    assert found.message.endswith(SET)


@pytest.mark.parametrize("api", [None, ipaddress.ip_address("10.96.0.1")])
def test_networks_that_hold_the_api_server_s_service_are_taken(
    api: ipaddress.IPv4Address | None,
) -> None:
    assert decide.decide(seen(api_address=api)).verdicts[ACCEPTED] == true("Accepted")


def test_networks_that_do_not_are_refused() -> None:
    found = decide.decide(seen(api_address=ipaddress.ip_address("10.43.0.1")))
    assert found.verdicts[ACCEPTED] == false(
        "ClusterCIDRsWrong",
        "the API server's Service has 10.43.0.1, which is in none of the networks that are known "
        f"as the cluster's (10.244.0.0/16, 10.96.0.0/16): {SET} to all pod and service CIDRs",
    )


# What the API tells


def served(api: kube_server.Api) -> ranges.Known:
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.2"}]}}
    api.put(kube.NODES, "n1", spec={"podCIDRs": ["10.244.0.0/24", "fd00:1::/64"]}, **node)
    api.put(kube.NODES, "n2", spec={})
    api.put(kube.SERVICE_CIDRS, "kubernetes", spec={"cidrs": ["10.96.0.0/16", "fd00:2::/112"]})
    return ranges.Ranges(api.cluster()).look()


def test_the_cluster_s_addresses_are_read_from_nodes_and_services() -> None:
    with kube_server.serving() as api:
        api.put(kube.SERVICES, "kubernetes", "default", spec={"clusterIP": "10.96.0.1"})
        assert served(api) == ranges.Known(
            cidrs=(ipaddress.IPv4Network("10.244.0.0/24"), ipaddress.IPv4Network("10.96.0.0/16")),
            nodes=(ipaddress.IPv4Address("172.18.0.2"),),
            api=ipaddress.IPv4Address("10.96.0.1"),
        )


def test_given_networks_are_taken_as_they_are_also_where_no_node_has_any() -> None:
    given = (ipaddress.IPv4Network("10.42.0.0/16"), ipaddress.IPv4Network("10.43.0.0/16"))
    with kube_server.serving() as api:
        api.put(kube.NODES, "n1", spec={})
        assert ranges.Ranges(api.cluster()).look().cidrs == ()
        assert ranges.Ranges(api.cluster(), given).look().cidrs == given
