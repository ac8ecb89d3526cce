"""`kubectl piavpn leaktest`: has node agents try now what could leak, and shows what came of it.

A request is an annotation on the app's pod. The answer is the pod's condition LeakFree, which names
the request.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence

from piavpn.api import codec, names, vpnapps
from piavpn.api.conditions import Condition, PodCondition, ServiceCondition, Status, find
from piavpn.cli import cluster, commands, errors, pods, watching
from piavpn.cli.output import Output
from piavpn.kube import PODS, Cluster
from piavpn.kube.kinds import Selection

HEADINGS = ("APP", "NODE", "RESULT", "ATTEMPTS", "DETAIL")
_TIMEOUT_SECONDS = 60.0
_SUSPENDED = "suspended"


class Result(enum.StrEnum):
    """What a test found."""

    NO_LEAK = "no leak"
    LEAK = "LEAK"
    UNKNOWN = "unknown"
    NOT_TESTED = "not tested"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One app."""

    app: str
    result: Result
    detail: str
    node: str | None = None
    attempts: int | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong: an app that does not run leaks nothing."""
        return self.result is Result.NO_LEAK or self.detail == _SUSPENDED


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "leaktest", run, "try from inside apps' pods, now, what could get past the tunnel"
    )
    parser.add_argument(
        "service",
        nargs="?",
        help="VpnServiceContainer, or NAMESPACE/NAME; default: all, of the namespace given by -n",
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Ask for the tests, wait for them, and show them."""
    chosen = _chosen(api, options)
    known = {cluster.full_name(each): each for each in chosen}
    found = {app: pods.of_service(api, service) for app, service in known.items()}
    asked = codec.format_time(out.now())
    rows = {app: _not_testable(known[app], pod) for app, pod in found.items()}
    waited_for = [pod for app, pod in found.items() if pod is not None and rows[app] is None]
    for pod in waited_for:
        wish = {names.ANNOTATION_LEAK_TEST_REQUESTED_AT: asked}
        api.patch(PODS, pod.name, pod.namespace, {"metadata": {"annotations": wish}})
    answers = _wait(api, waited_for, asked, out)
    done = [row or _row(app, known[app], found[app], answers.get(app)) for app, row in rows.items()]
    _show(done, out)
    return errors.GOOD if all(row.is_good for row in done) else errors.NOT_GOOD


def _chosen(api: Cluster, options: argparse.Namespace) -> list[vpnapps.VpnServiceContainer]:
    if options.service is not None:
        where = options.namespace or cluster.namespace(options.kubeconfig, options.context)
        return [cluster.service(api, options.service, where)]
    chosen = cluster.services(api, options.namespace)
    if not chosen:
        raise errors.CommandError("there is no VpnServiceContainer to test")
    return chosen


def _not_testable(service: vpnapps.VpnServiceContainer, pod: pods.Pod | None) -> Row | None:
    app = cluster.full_name(service)
    if pod is None:
        why = _SUSPENDED if service.spec.suspend else "it has no pod: see its Ready"
        return Row(app, Result.NOT_TESTED, why)
    confined = find(pod.conditions, PodCondition.CONFINED)
    if confined is not None and confined.status is Status.TRUE:
        return None
    why = f"{confined.reason}: {confined.message}" if confined else "no node agent knows its pod"
    return Row(app, Result.NOT_TESTED, why, pod.node)


def _wait(
    api: Cluster, waited_for: Sequence[pods.Pod], asked: str, out: Output
) -> Mapping[str, Condition]:
    """Return the answers that came in time, by app; none of a pod that goes meanwhile."""
    answers: dict[str, Condition] = {}
    uids = {pod.uid: pod.app for pod in waited_for}

    def look() -> bool | None:
        there = pods.of_services(api)
        for pod in there:
            told = find(pod.conditions, PodCondition.LEAK_FREE)
            if told is not None and pod.uid in uids and _answers(told, asked):
                answers[uids[pod.uid]] = told
        left = sum(uids.get(pod.uid, "") not in {"", *answers} for pod in there)
        out.progress(f"testing: {left} of {len(uids)} apps left")
        return True if left == 0 else None

    selection = Selection(PODS, labels=names.LABEL_SERVICE)
    watching.until(api, selection, look, _TIMEOUT_SECONDS)
    return answers


def _answers(told: Condition, asked: str) -> bool:
    return told.status is Status.FALSE or told.message.endswith(names.asked_for_at(asked))


def _row(
    app: str,
    service: vpnapps.VpnServiceContainer,
    pod: pods.Pod | None,
    told: Condition | None,
) -> Row:
    node = pod.node if pod is not None else None
    if told is None:
        known = find(service.status.conditions, ServiceCondition.LEAK_FREE)
        why = f"; LeakFree is {known.status}: {known.message}" if known else ""
        return Row(app, Result.UNKNOWN, f"the node's agent has not answered{why}", node)
    message, _, _ = told.message.partition(names.asked_for_at(""))
    tried = re.match(r"(\d+) attempts ", message)
    results = {Status.TRUE: Result.NO_LEAK, Status.FALSE: Result.LEAK}
    result = results.get(told.status, Result.UNKNOWN)
    return Row(app, result, message, node, int(tried[1]) if tried else None)


def _show(rows: Sequence[Row], out: Output) -> None:
    if out.as_json:
        out.json([dataclasses.asdict(row) for row in rows])
        return
    out.table(HEADINGS, [(r.app, r.node, r.result, r.attempts, r.detail) for r in rows])
