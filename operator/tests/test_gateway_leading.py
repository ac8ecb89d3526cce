"""The way of the forwarded port in the kernel, by programs that note what they are asked."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from piavpn.api.protocols import Protocol
from piavpn.gateway.forwarded import Way
from piavpn.gateway.leading import Leading
from piavpn.net import nft

FIRST, SECOND = (ipaddress.IPv4Address(f"10.100.0.{host}") for host in (10, 11))
TO_FIRST = frozenset({Way(Protocol.TCP, 45678, FIRST, 45678)})
TO_SECOND = frozenset({Way(Protocol.TCP, 45678, SECOND, 45678)})
CUT = "conntrack --delete --proto tcp --dst-nat --orig-port-dst 45678"
LOADED = "nft -f -"


class Kernel:
    """Stands where `nft` and `conntrack` stand; each can be made to fail."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for program in ("nft", "conntrack"):
            script = directory / program
            script.write_text(
                f'#!/bin/sh\necho "{program} $*" >>{directory}/calls\n'
                f"if [ -e {directory}/{program}-fails ]; then echo broken >&2; exit 1; fi\n"
            )
            script.chmod(0o755)

    def fails(self, program: str) -> None:
        (self._directory / f"{program}-fails").touch()

    def works(self, program: str) -> None:
        (self._directory / f"{program}-fails").unlink()

    def calls(self) -> list[str]:
        """Return what was asked since the last time."""
        path = self._directory / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Kernel(tmp_path)


def test_the_map_is_loaded_once_and_connections_of_the_receiver_before_are_cut(
    kernel: Kernel,
) -> None:
    leading = Leading()
    for ways in (TO_FIRST, TO_FIRST):
        leading.lead(ways, frozenset())
    assert kernel.calls() == [LOADED]
    leading.lead(TO_SECOND, frozenset())
    assert kernel.calls() == [LOADED, CUT]
    assert not leading.unfinished


def test_connections_that_could_not_be_cut_are_cut_the_next_time(kernel: Kernel) -> None:
    leading = Leading()
    leading.lead(TO_FIRST, frozenset())
    kernel.fails("conntrack")
    leading.lead(TO_SECOND, frozenset())
    assert leading.unfinished
    kernel.works("conntrack")
    kernel.calls()
    leading.lead(TO_SECOND, frozenset())
    assert kernel.calls() == [CUT]
    assert not leading.unfinished


def test_a_map_that_could_not_be_loaded_is_loaded_the_next_time(kernel: Kernel) -> None:
    leading = Leading()
    kernel.fails("nft")
    with pytest.raises(nft.NftError, match="broken"):
        leading.lead(TO_FIRST, frozenset())
    kernel.works("nft")
    kernel.calls()
    leading.lead(TO_FIRST, frozenset())
    assert kernel.calls() == [LOADED]
