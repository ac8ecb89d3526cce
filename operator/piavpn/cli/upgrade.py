"""`kubectl piavpn upgrade`: move pods to the operator's present templates, one at a time.

A new operator replaces no pod of its own accord. The apps go first, the gateway last: a fault of
the new image then shows in one app, before the tunnel of all of them depends on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator

from piavpn import kube
from piavpn.api import names
from piavpn.cli import cluster, commands, errors
from piavpn.cli.output import Output
from piavpn.kube import Cluster

HEADINGS = ("POD", "VPN", "PART", "FROM", "TO")
_REVISION = "controller-revision-hash"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_OURS = ("gateway", names.GATE_CONTAINER)
_LOOK_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """A pod that was made from an older template than its StatefulSet has."""

    namespace: str
    pod: str
    uid: str
    vpn: str
    is_gateway: bool
    old_image: str
    new_image: str


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers,
        "upgrade",
        run,
        "move gateways and apps to the operator's version, one pod at a time; "
        "an app is away for its own restart, and a VPN for about 4 s when its gateway's turn comes",
    )
    parser.add_argument("--vpn", metavar="NAME", help="that PiaVpn and its apps alone")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be moved")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=180.0,
        help="how long a pod may take to be ready again; default: 180",
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Move what is to be moved; stop at the first pod that does not come back."""
    if options.vpn is not None:
        cluster.vpn(api, options.vpn)
    moves = list(_moves(api, options.vpn))
    if options.dry_run or not moves:
        _show(moves, out)
        return errors.GOOD
    for number, move in enumerate(moves, start=1):
        name = f"{move.namespace}/{move.pod}"
        begun = time.monotonic()
        out.progress(f"{number} of {len(moves)}: {name}")
        api.delete(kube.PODS, move.pod, move.namespace, uid=move.uid)
        if not _is_back(api, move, begun + options.timeout):
            out.note(_in_words(move, api, len(moves) - number))
            return errors.NOT_GOOD
        if not out.as_json:
            seconds = time.monotonic() - begun
            out.line(f"{name} is ready again after {seconds:.0f} s, with {move.new_image}")
    if out.as_json:
        _show(moves, out)
    return errors.GOOD


def _moves(api: Cluster, vpn: str | None) -> Iterator[Move]:
    """Yield the pods to move: of each VPN its apps', then its gateway's."""
    label = "" if vpn is None else f"={vpn}"
    keys = (names.LABEL_VPN, names.LABEL_GATEWAY)
    pods = ((pod, key) for key in keys for pod in api.list(kube.PODS, labels=f"{key}{label}"))
    found = filter(None, (_move(api, pod, key) for pod, key in pods))
    yield from sorted(found, key=lambda it: (it.vpn, it.is_gateway, it.namespace, it.pod))


def _move(api: Cluster, pod: kube.Object, key: str) -> Move | None:
    metadata = pod["metadata"]
    owners = [o for o in metadata.get("ownerReferences", []) if o["kind"] == "StatefulSet"]
    if not owners or "deletionTimestamp" in metadata:
        return None
    made_by = api.get(kube.STATEFUL_SETS, owners[0]["name"], metadata["namespace"])
    current = (made_by or {}).get("status", {}).get("updateRevision")
    if made_by is None or current in {None, metadata["labels"].get(_REVISION)}:
        return None
    if (made_by["metadata"].get("labels") or {}).get(_MANAGED_BY) != names.MANAGER_OPERATOR:
        return (
            None  # somebody's own, behind a tunnel by its label: when it restarts is theirs to say
        )
    return Move(
        namespace=metadata["namespace"],
        pod=metadata["name"],
        uid=metadata["uid"],
        vpn=metadata["labels"][key],
        is_gateway=key == names.LABEL_GATEWAY,
        old_image=_image(pod["spec"]),
        new_image=_image(made_by["spec"]["template"]["spec"]),
    )


def _image(spec: kube.Object) -> str:
    every = [*spec.get("initContainers", []), *spec["containers"]]
    return next((str(each["image"]) for each in every if each["name"] in _OURS), "")


def _is_back(api: Cluster, move: Move, deadline: float) -> bool:
    """Wait for another pod of that name to be ready; tell whether there was one in time."""
    while time.monotonic() < deadline:
        pod = api.get(kube.PODS, move.pod, move.namespace)
        if pod is not None and pod["metadata"]["uid"] != move.uid and _is_ready(pod):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _is_ready(pod: kube.Object) -> bool:
    listed = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in listed)


def _in_words(move: Move, api: Cluster, left: int) -> str:
    """Return what to do about a pod that did not come back."""
    kind, name, where = (
        (kube.PIA_VPNS, move.vpn, None)
        if move.is_gateway
        else (kube.VPN_SERVICE_CONTAINERS, move.pod.removesuffix("-0"), move.namespace)
    )
    owner = api.get(kind, name, where) or {}
    listed = (owner.get("status") or {}).get("conditions") or []
    ready: kube.Object = next((each for each in listed if each["type"] == "Ready"), {})
    why = ""
    if ready.get("status", "True") != "True":
        why = f" ({ready['reason']}: {ready['message']})"
    rest = f" {left} more were left as they are." if left else ""
    return (
        f"error: {move.namespace}/{move.pod} is not ready with {move.new_image}{why}.{rest} See "
        f"`kubectl describe pod -n {move.namespace} {move.pod}`; `kubectl piavpn upgrade` goes on "
        "once it is, and the operator's older image brings the older pods back."
    )


def _show(moves: list[Move], out: Output) -> None:
    if out.as_json:
        out.json([dataclasses.asdict(move) for move in moves])
    elif not moves:
        out.line("nothing to do: every pod is of the operator's version")
    else:
        rows = [
            (
                f"{move.namespace}/{move.pod}",
                move.vpn,
                "gateway" if move.is_gateway else "app",
                move.old_image,
                move.new_image,
            )
            for move in moves
        ]
        out.table(HEADINGS, rows)
