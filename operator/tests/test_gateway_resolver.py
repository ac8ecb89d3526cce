"""The gateway's resolver process, with a program in dnsmasq's place that notes what it was told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_world import eventually
from gateway_objects import CONFIG

from piavpn.gateway.resolver import Resolver

RESOLV_CONF = "nameserver 10.96.0.10\n"
PROGRAM = """#!/bin/sh
grep '^server=/' "${2#--conf-file=}" >>"$TOLD"
exec sleep 600
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "dnsmasq"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[Resolver]:
    found = Resolver(tmp_path)
    yield found
    found.stop()


def test_it_starts_again_with_another_cluster_domain_and_for_nothing_else(
    resolver: Resolver, told: Path
) -> None:
    def lines() -> list[str]:
        return told.read_text().splitlines() if told.exists() else []

    resolver.go_by(CONFIG, RESOLV_CONF)
    eventually(lambda: lines() == ["server=/cluster.local/10.96.0.10"])
    resolver.go_by(dataclasses.replace(CONFIG, servers=()), RESOLV_CONF)
    resolver.go_by(dataclasses.replace(CONFIG, cluster_domain="lan.example"), RESOLV_CONF)
    eventually(
        lambda: lines() == ["server=/cluster.local/10.96.0.10", "server=/lan.example/10.96.0.10"]
    )
