"""What the operator's Deployment tells it."""

from __future__ import annotations

import pytest
from controller_samples import NET

from piavpn.controller import settings


def test_the_namespace_alone_is_enough() -> None:
    environment = {"PIAVPN_NAMESPACE": "piavpn-system"}
    assert settings.Settings.from_environment("piavpn:0.1.0", environment) == settings.Settings(
        namespace="piavpn-system",
        image="piavpn:0.1.0",
        cluster_domain="cluster.local",
        cluster_cidrs=(),
    )


def test_domain_and_cidrs_are_taken_as_they_are_given() -> None:
    environment = {
        "PIAVPN_NAMESPACE": "vpn",
        "PIAVPN_CLUSTER_DOMAIN": "k8s.lan",
        "PIAVPN_CLUSTER_CIDRS": "10.42.0.0/16, 10.43.0.0/16,",
    }
    assert settings.Settings.from_environment("piavpn:0.1.0", environment) == settings.Settings(
        namespace="vpn",
        image="piavpn:0.1.0",
        cluster_domain="k8s.lan",
        cluster_cidrs=(NET("10.42.0.0/16"), NET("10.43.0.0/16")),
    )


def test_without_a_namespace_it_says_where_to_set_it() -> None:
    with pytest.raises(ValueError, match="set PIAVPN_NAMESPACE in the operator's Deployment"):
        settings.Settings.from_environment("piavpn:0.1.0", {})


@pytest.mark.parametrize("cidrs", ["10.42.0.0/33", "10.42.0.1/16", "fd00::/8", "all of them"])
def test_a_bad_cidr_is_refused_with_the_variable_s_name_and_an_example(cidrs: str) -> None:
    environment = {"PIAVPN_NAMESPACE": "piavpn-system", "PIAVPN_CLUSTER_CIDRS": cidrs}
    with pytest.raises(ValueError, match=r"PIAVPN_CLUSTER_CIDRS must be .* 10\.244\.0\.0/16"):
        settings.Settings.from_environment("piavpn:0.1.0", environment)


def test_gateways_and_gates_log_as_the_operator_does() -> None:
    environment = {"PIAVPN_NAMESPACE": "piavpn-system", "PIAVPN_LOG_FORMAT": "json"}
    told = settings.Settings.from_environment("piavpn:0.1.0", environment)
    assert told.log_environment == [{"name": "PIAVPN_LOG_FORMAT", "value": "json"}]
