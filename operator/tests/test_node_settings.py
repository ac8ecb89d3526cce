from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from piavpn.node.main import Settings

ENVIRONMENT = {
    "NODE_NAME": "n1",
    "NODE_ADDRESS": "192.168.1.4",
    "POD_NAME": "piavpn-node-agent-x",
    "PIAVPN_NAMESPACE": "piavpn-system",
}


def test_the_daemon_set_tells_what_there_is_no_default_for() -> None:
    assert Settings.from_environment(ENVIRONMENT) == Settings(
        node="n1",
        pod="piavpn-node-agent-x",
        namespace="piavpn-system",
        cluster_cidrs=(),
        address="192.168.1.4",
        health_port=9809,
        metrics_port=9810,
    )


def test_networks_and_ports_can_be_given() -> None:
    given = {
        "PIAVPN_CLUSTER_CIDRS": "10.42.0.0/16,10.43.0.0/16",
        "PIAVPN_HEALTH_PORT": "1",
        "PIAVPN_METRICS_PORT": "2",
    }
    settings = Settings.from_environment(ENVIRONMENT | given)
    assert settings.cluster_cidrs == (IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16"))
    assert (settings.health_port, settings.metrics_port) == (1, 2)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"set {name} in the node agent's DaemonSet"):
        Settings.from_environment({k: v for k, v in ENVIRONMENT.items() if k != name})


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="PIAVPN_METRICS_PORT must be a port's number, not 'x'"):
        Settings.from_environment(ENVIRONMENT | {"PIAVPN_METRICS_PORT": "x"})
