"""The machine that the numbers come from."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform

from bench import memory


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """What numbers depend on."""

    processors: int
    processor: str
    memory_gib: int
    kernel: str
    wireguard: str
    """`kernel` or `wireguard-go`."""

    def __str__(self) -> str:
        return (
            f"{self.processors} CPUs ({self.processor}), {self.memory_gib} GiB, "
            f"Linux {self.kernel}, WireGuard by {self.wireguard}"
        )


def describe(node: str) -> Machine:
    """Describe this machine, of which `node` has a tunnel."""
    return Machine(
        processors=os.cpu_count() or 1,
        processor=_field("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        kernel=platform.release(),
        wireguard="wireguard-go" if memory.has_wireguard_go(node) else "kernel",
    )


def _field(file: str, name: str) -> str:
    """Return a field of a file of /proc; `unknown` where this architecture has none."""
    fields = (line.partition(":") for line in pathlib.Path(file).read_text().splitlines())
    return next((value.strip() for key, _, value in fields if key.strip() == name), "unknown")
