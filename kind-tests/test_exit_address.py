"""An app reaches the Internet from the PIA server's address, whatever it speaks."""

from __future__ import annotations

from harness import probes


def test_tcp_leaves_from_the_servers_address(steady: probes.Tunnel) -> None:
    assert steady.app.tcp() == steady.server_address


def test_udp_leaves_from_the_servers_address(steady: probes.Tunnel) -> None:
    assert steady.app.udp() == steady.server_address


def test_dns_questions_leave_from_the_servers_address(steady: probes.Tunnel) -> None:
    assert steady.app.resolve("whoami.test") == steady.server_address


def test_names_of_the_cluster_resolve_to_cluster_addresses(steady: probes.Tunnel) -> None:
    assert steady.app.resolve("kubernetes.default.svc.cluster.local").startswith("10.96.")
    assert steady.app.resolve("kubernetes.default").startswith("10.96.")


def test_an_ordinary_pod_leaves_from_another_address(steady: probes.Tunnel) -> None:
    """The control: the who-am-I service does tell addresses apart."""
    seen = steady.ordinary.tcp()

    assert not seen.startswith("failed")
    assert seen != steady.server_address
