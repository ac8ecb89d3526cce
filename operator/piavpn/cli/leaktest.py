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
from piavpn.kube import PODS, VPN_SERVICE_CONTAINERS, Cluster
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
    """One app, or labelled pod."""

    app: str
    result: Result
    detail: str
    node: str | None = None
    attempts: int | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong: an app that does not run leaks nothing."""
        return self.result is Result.NO_LEAK or self.detail == _SUSPENDED


@dataclasses.dataclass(frozen=True, slots=True)
class _Tested:
    """What is to be tested: an app, or a labelled pod."""

    app: str
    pod: pods.Pod | None
    known: Condition | None
    """LeakFree, as it was before."""
    is_suspended: bool = False


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "leaktest", run, "try from inside apps' pods, now, what could get past the tunnel"
    )
    parser.add_argument(
        "app",
        nargs="?",
        metavar="NAME",
        help="VpnServiceContainer or labelled pod, or NAMESPACE/NAME; "
        "default: all, of the namespace given by -n",
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Ask for the tests, wait for them, and show them."""
    chosen = _chosen(api, options)
    asked = codec.format_time(out.now())
    rows = [_not_testable(each) for each in chosen]
    waited_for = [each.pod for each, row in zip(chosen, rows, strict=True) if each.pod and not row]
    for pod in waited_for:
        wish = {names.ANNOTATION_LEAK_TEST_REQUESTED_AT: asked}
        api.patch(PODS, pod.name, pod.namespace, {"metadata": {"annotations": wish}})
    answers = _wait(api, waited_for, asked, out)
    done = [row or _row(each, answers) for each, row in zip(chosen, rows, strict=True)]
    _show(done, out)
    return errors.GOOD if all(row.is_good for row in done) else errors.NOT_GOOD


def _chosen(api: Cluster, options: argparse.Namespace) -> list[_Tested]:
    if options.app is not None:
        where = options.namespace or cluster.namespace(options.kubeconfig, options.context)
        if pod := _labelled_pod(api, options.app, where):
            return [_of_pod(pod)]
        return [_of_service(api, cluster.service(api, options.app, where))]
    chosen = [_of_service(api, each) for each in cluster.services(api, options.namespace)]
    labelled = pods.labelled(pods.behind_vpns(api), namespace=options.namespace)
    chosen += map(_of_pod, labelled)
    if not chosen:
        raise errors.CommandError(
            "there is nothing to test: no VpnServiceContainer, and no pod with label "
            f"{names.LABEL_VPN}"
        )
    return chosen


def _labelled_pod(api: Cluster, name: str, in_namespace: str) -> pods.Pod | None:
    """Return the labelled pod of that name; None where an app has it, which comes first."""
    given, _, short = name.rpartition("/")
    where = given or in_namespace
    if api.get(VPN_SERVICE_CONTAINERS, short, where) is not None:
        return None
    body = api.get(PODS, short, where)
    pod = pods.read(body) if body is not None else None
    return pod if pod is not None and pod.is_labelled else None


def _of_service(api: Cluster, service: vpnapps.VpnServiceContainer) -> _Tested:
    return _Tested(
        cluster.full_name(service),
        pods.of_service(api, service),
        find(service.status.conditions, ServiceCondition.LEAK_FREE),
        is_suspended=service.spec.suspend,
    )


def _of_pod(pod: pods.Pod) -> _Tested:
    return _Tested(pod.app, pod, find(pod.conditions, PodCondition.LEAK_FREE))


def _not_testable(tested: _Tested) -> Row | None:
    app, pod = tested.app, tested.pod
    if pod is None:
        why = _SUSPENDED if tested.is_suspended else "it has no pod: see its Ready"
        return Row(app, Result.NOT_TESTED, why)
    confined = find(pod.conditions, PodCondition.CONFINED)
    if confined is not None and confined.status is Status.TRUE:
        return None
    why = f"{confined.reason}: {confined.message}" if confined else "no node agent knows its pod"
    return Row(app, Result.NOT_TESTED, why, pod.node)


def _wait(
    api: Cluster, waited_for: Sequence[pods.Pod], asked: str, out: Output
) -> Mapping[str, Condition]:
    """Return the answers that came in time, by the pod's UID; none of one that goes meanwhile."""
    answers: dict[str, Condition] = {}
    uids = {pod.uid for pod in waited_for}

    def look() -> bool | None:
        there = {pod.uid: pod for pod in pods.behind_vpns(api) if pod.uid in uids}
        for uid, pod in there.items():
            told = find(pod.conditions, PodCondition.LEAK_FREE)
            if told is not None and _answers(told, asked):
                answers[uid] = told
        left = len(there.keys() - answers.keys())
        out.progress(f"testing: {left} of {len(uids)} pods left")
        return True if left == 0 else None

    selection = Selection(PODS, labels=names.LABEL_VPN)
    watching.until(api, selection, look, _TIMEOUT_SECONDS)
    return answers


def _answers(told: Condition, asked: str) -> bool:
    return told.status is Status.FALSE or told.message.endswith(names.asked_for_at(asked))


def _row(tested: _Tested, answers: Mapping[str, Condition]) -> Row:
    pod, app = tested.pod, tested.app
    told = answers.get(pod.uid) if pod is not None else None
    node = pod.node if pod is not None else None
    if told is None:
        known = tested.known
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
