"""What the product's parts have used so far: processor, memory, wake-ups, requests to the API."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Sequence

from prometheus_client import parser

from bench.costs import Reading
from harness import kubectl, manifests, probes

PARTS = ("operator", "node-agent", "gateway")
_PORTS = {"operator": 9810, "node-agent": 9810, "gateway": 8080}
_TABLES = "piavpn"
_PASSES = "piavpn_reconcile_duration_seconds"
_ATTACHES = "piavpn_attach_duration_seconds"

# A process of the container is one in its cgroup: the agent sees all of the node's. Children that
# ended, as nft, are in the times of those that waited for them.
_USED = """
import json, os
def text(*path):
    with open(os.path.join("/proc", *path)) as file: return file.read()
cpu = resident = switches = 0
for pid in os.listdir("/proc"):
    if not pid.isdigit() or pid == str(os.getpid()): continue
    try:
        if text(pid, "cgroup") != text("self", "cgroup"): continue
        cpu += sum(map(int, text(pid, "stat").rpartition(")")[2].split()[11:15]))
        for thread in os.listdir(f"/proc/{pid}/task"):
            told = text(pid, "task", thread, "status").splitlines()
            switches += sum(int(x.split()[1]) for x in told if x.startswith("voluntary_ctxt"))
        told = text(pid, "status").splitlines()
        resident += sum(int(x.split()[1]) for x in told if x.startswith("VmRSS"))
    except (FileNotFoundError, ProcessLookupError): pass
ticks = os.sysconf("SC_CLK_TCK")
print(json.dumps({"cpu": cpu / ticks, "resident": resident / 1024, "switches": switches}))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What nft has on a node in the product's tables."""

    rules: int
    elements: int


def read() -> dict[str, Reading]:
    """Read all parts. A part with several pods is read as one: their sum, the largest's memory."""
    return {part: _sum([_read(part, pod) for pod in pods_of(part)]) for part in PARTS}


def pods_of(part: str) -> list[probes.Pod]:
    """Return the pods of a part."""
    label = "piavpn.dev/gateway" if part == "gateway" else f"app.kubernetes.io/name=piavpn-{part}"
    found = kubectl.items("pods", "-n", manifests.SYSTEM, "-l", label)
    return [probes.Pod(one["metadata"]["name"], manifests.SYSTEM, part) for one in found]


def most_rules() -> Rules:
    """Return what the node has that has most."""
    counted = [
        _count(
            kubectl.execute(pod.name, pod.namespace, pod.container, "nft", "-j", "list", "ruleset")
        )
        for pod in pods_of("node-agent")
    ]
    return max(counted, key=lambda each: each.rules + each.elements)


def _read(part: str, pod: probes.Pod) -> Reading:
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}:{_PORTS[part]}/proxy/metrics"
    page = kubectl.run("get", "--raw", path)
    used = json.loads(pod.python(_USED))
    return Reading(
        time=time.monotonic(),
        cpu_seconds=used["cpu"],
        resident_mib=used["resident"],
        switches=used["switches"],
        requests=_total(page, "piavpn_kube_requests_total"),
        writes=_total(page, "piavpn_kube_requests_total", ("patch", "create", "delete")),
        passes=_total(page, f"{_PASSES}_count"),
        pass_seconds=_total(page, f"{_PASSES}_sum"),
        attaches=_total(page, f"{_ATTACHES}_count"),
        attach_seconds=_total(page, f"{_ATTACHES}_sum"),
    )


def _total(page: str, name: str, verbs: Sequence[str] = ()) -> float:
    return sum(
        sample.value
        for family in parser.text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and (not verbs or sample.labels["verb"] in verbs)
    )


def _sum(readings: Iterable[Reading]) -> Reading:
    first, *others = readings
    for other in others:
        first = first + other
    return first


def _count(ruleset: str) -> Rules:
    listed = json.loads(ruleset)["nftables"]
    ours = [
        entry
        for entry in listed
        if any(str(one.get("table", "")).startswith(_TABLES) for one in entry.values())
    ]
    sets = [found for entry in ours for kind in ("set", "map") if (found := entry.get(kind))]
    return Rules(
        rules=sum("rule" in entry for entry in ours),
        elements=sum(len(each.get("elem", ())) for each in sets),
    )
