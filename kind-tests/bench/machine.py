"""The machine that the numbers come from."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform

from harness import nodes


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
    """Describe this machine, of which `node` is a container."""
    return Machine(
        processors=os.cpu_count() or 1,
        processor=_field("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        kernel=platform.release(),
        wireguard="kernel" if _kernel_has_wireguard(node) else "wireguard-go",
    )


def _kernel_has_wireguard(node: str) -> bool:
    """Tell by trying, as the node agent does."""
    tried = "ip link add bench-try type wireguard 2>/dev/null && ip link del bench-try && echo has"
    return bool(nodes.run(node, "sh", "-c", f"{tried} || true").strip())


def _field(file: str, name: str) -> str:
    """Return a field of a file of /proc; `unknown` where this architecture has none."""
    fields = (line.partition(":") for line in pathlib.Path(file).read_text().splitlines())
    return next((value.strip() for key, _, value in fields if key.strip() == name), "unknown")
