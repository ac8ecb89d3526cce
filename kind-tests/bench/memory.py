"""What stays in memory: each part's processes, without what only the measuring needs."""

from __future__ import annotations

from bench import results
from harness import kubectl, manifests, nodes, probes

# A process of the container is one in its cgroup: the agent sees all of the node's.
_RESIDENT = """
import os
def text(*path):
    with open(os.path.join("/proc", *path)) as file: return file.read()
def kibibytes(pid):
    return sum(int(line.split()[1]) for line in text(pid, "status").splitlines() if "VmRSS" in line)
total = 0
for pid in os.listdir("/proc"):
    if not pid.isdigit() or pid == str(os.getpid()): continue
    try:
        if text(pid, "cgroup") == text("self", "cgroup"): total += kibibytes(pid)
    except (FileNotFoundError, ProcessLookupError): pass
print(total)
"""


def measure(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Measure operator, node agents, gateway, and wireguard-go where a node needs it."""
    operators = _pods_of("operator")
    agents = _pods_of("node-agent")
    return [
        _measurement("operator, resident", operators, 120),
        _measurement("node agent, resident, each node", agents, 90),
        _measurement("gateway, resident", [tunnel.gateway], 90),
        *_wireguard_go(tunnel.gateway.node),
    ]


def _measurement(what: str, pods: list[probes.Pod], limit: float) -> results.Measurement:
    samples = tuple(int(pod.python(_RESIDENT)) / 1024 for pod in pods)
    return results.Measurement(
        what,
        "MiB",
        samples,
        results.Bar(limit),
        row="resident memory: operator / node agent / gateway",
    )


def _wireguard_go(node: str) -> list[results.Measurement]:
    samples = tuple(one / 1024 for one in _wireguard_go_kibibytes(node))
    if not samples:
        return []
    row = "resident memory: wireguard-go, each link"
    return [results.Measurement("wireguard-go, resident, each link", "MiB", samples, row=row)]


def _wireguard_go_kibibytes(node: str) -> list[int]:
    listed = nodes.run(node, "ps", "-eo", "rss=,comm=").splitlines()
    processes = (line.split() for line in listed)
    return [int(size) for size, name in processes if name == "wireguard-go"]


def _pods_of(part: str) -> list[probes.Pod]:
    found = kubectl.items(
        "pods", "-n", manifests.SYSTEM, "-l", f"app.kubernetes.io/name=piavpn-{part}"
    )
    return [probes.Pod(one["metadata"]["name"], manifests.SYSTEM, part) for one in found]
