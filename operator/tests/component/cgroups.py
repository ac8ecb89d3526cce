"""Processes in cgroups, as a kubelet and a container runtime make them."""

from __future__ import annotations

import pathlib

from namespaces import eventually

HIERARCHY = next(
    path
    for path in (pathlib.Path("/sys/fs/cgroup/pids"), pathlib.Path("/sys/fs/cgroup"))
    if (path / "cgroup.procs").exists()
)


def enter(pid: int, cgroup: str) -> list[pathlib.Path]:
    """Put the process into a new cgroup; return the directories made, innermost first."""
    directory = HIERARCHY / cgroup
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text(str(pid))
    return made


def remove(made: list[pathlib.Path]) -> None:
    """Remove what `enter` made, once the kernel has let go of the processes."""
    eventually(lambda: not (made[0] / "cgroup.procs").read_text(), what="the cgroup is empty")
    for path in made:
        path.rmdir()
