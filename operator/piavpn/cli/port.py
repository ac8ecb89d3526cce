"""`kubectl piavpn port`: the forwarded port, who has it, and whether it is open."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

from piavpn.api import codec, names, piavpns, vpnapps
from piavpn.api.conditions import (
    Condition,
    PiaVpnCondition,
    PodCondition,
    ServiceCondition,
    Status,
    find,
)
from piavpn.cli import cluster, commands, errors, pods, times, watching
from piavpn.cli.output import Output
from piavpn.kube import EVENTS, PIA_VPNS, Cluster
from piavpn.kube.kinds import Selection

CHECKED = "PortChecked"
"""Reason of the Event that answers a request to try the port."""

_CHECK_SECONDS = 60.0
_LABEL_WIDTH = 12


@dataclasses.dataclass(frozen=True, slots=True)
class _Receiver:
    """An app or a labelled pod that wants the port."""

    name: str
    """As PiaVpns' status.forwardedPort.receiver has it."""
    is_accepted: bool
    is_told: bool
    """Whether the port is told to it: not to a labelled pod, which listens at its own."""
    told: Condition | None = None


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "port", run, "show the forwarded port, who receives it, and whether it is open"
    )
    parser.add_argument("vpn", nargs="?", help="PiaVpn; may be left out where there is one alone")
    parser.add_argument("--check", action="store_true", help="have it tried from the Internet now")


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Show how the port is; ask first for a try from outside, if so wished."""
    vpn = cluster.chosen_vpn(api, options.vpn)
    if options.check:
        vpn = _checked(api, vpn, out)
    labelled = pods.labelled(pods.behind_vpns(api), vpn.name)
    receiver = _receiver(vpn, cluster.services(api, None), labelled)
    if out.as_json:
        out.json(_as_json(vpn, receiver))
    else:
        for label, text in _lines(vpn, receiver, out.now()).items():
            out.line(f"{label + ':':<{_LABEL_WIDTH}} {text}".rstrip())
    return errors.GOOD if _is_good(vpn, receiver, checked=options.check) else errors.NOT_GOOD


def _checked(api: Cluster, vpn: piavpns.PiaVpn, out: Output) -> piavpns.PiaVpn:
    if vpn.spec.endpoints.port_check_url is None:
        raise errors.CommandError(
            f"PiaVpn {vpn.name} names nobody outside who could be asked: set "
            "spec.endpoints.portCheckURL, as to https://ifconfig.co/port/{port}"
        )
    about = Selection(EVENTS, fields=f"involvedObject.name={vpn.name}")
    told = {_uid(event) for event in api.list(EVENTS, fields=about.fields)}
    asked = {names.ANNOTATION_CHECK_PORT_REQUESTED_AT: codec.format_time(out.now())}
    api.patch(PIA_VPNS, vpn.name, None, {"metadata": {"annotations": asked}})
    out.progress("waiting for somebody outside to try the port")

    def answer() -> bool | None:
        events = api.list(EVENTS, fields=about.fields)
        new = (event for event in events if _uid(event) not in told)
        return any(event.get("reason") == CHECKED for event in new) or None

    if watching.until(api, about, answer, _CHECK_SECONDS) is None:
        raise errors.CommandError(
            f"the gateway of PiaVpn {vpn.name} has not answered within {_CHECK_SECONDS:.0f} s: "
            f"see `kubectl piavpn status {vpn.name}`"
        )
    return cluster.vpn(api, vpn.name)


def _uid(event: Mapping[str, Mapping[str, str]]) -> str:
    return event["metadata"]["uid"]


def _receiver(
    vpn: piavpns.PiaVpn,
    services: Iterable[vpnapps.VpnServiceContainer],
    labelled: Iterable[pods.Pod],
) -> _Receiver | None:
    """Return who has the port: of several that want it, the one that was accepted."""
    wanting = [
        *(
            _app(each)
            for each in services
            if each.spec.vpn_ref.name == vpn.name and each.spec.receive_forwarded_port is not None
        ),
        *(_pod(each) for each in labelled if each.wants_port),
    ]
    port = vpn.status.forwarded_port
    holder = port.receiver if port is not None else None
    return min(wanting, key=lambda it: (it.name != holder, not it.is_accepted), default=None)


def _app(service: vpnapps.VpnServiceContainer) -> _Receiver:
    conditions = service.status.conditions
    return _Receiver(
        cluster.full_name(service),
        is_accepted=_holds(find(conditions, ServiceCondition.ACCEPTED)),
        is_told=True,
        told=find(conditions, ServiceCondition.PORT_PROPAGATED),
    )


def _pod(pod: pods.Pod) -> _Receiver:
    accepted = _holds(find(pod.conditions, PodCondition.ACCEPTED))
    return _Receiver(f"pod {pod.app}", is_accepted=accepted, is_told=False)


def _is_good(vpn: piavpns.PiaVpn, receiver: _Receiver | None, *, checked: bool) -> bool:
    forwarded = find(vpn.status.conditions, PiaVpnCondition.PORT_FORWARDED)
    is_open = find(vpn.status.conditions, PiaVpnCondition.PORT_OPEN)
    closed = is_open is not None and is_open.status is Status.FALSE
    return (
        receiver is not None
        and _holds(forwarded)
        and (_holds(receiver.told) or not receiver.is_told)
        and (_holds(is_open) if checked else not closed)
    )


def _holds(condition: Condition | None) -> bool:
    return condition is not None and condition.status is Status.TRUE


def _lines(vpn: piavpns.PiaVpn, receiver: _Receiver | None, now: datetime) -> dict[str, str]:
    port, conditions = vpn.status.forwarded_port, vpn.status.conditions
    if receiver is None:
        return {
            "Port": f"no app behind PiaVpn {vpn.name} receives one: give one "
            f"receiveForwardedPort: {{}}, or a pod {names.ANNOTATION_RECEIVE_FORWARDED_PORT}"
        }
    lines = {"Port": str(port.port) if port else "none yet"}
    if vpn.status.exit_address is not None:
        lines["Port"] += f" at {vpn.status.exit_address}"
    lines["Receiver"] = receiver.name
    lines["Forwarded"] = _words(find(conditions, PiaVpnCondition.PORT_FORWARDED))
    if port is not None and port.last_bound_at is not None:
        lines["Last bound"] = _time(port.last_bound_at, now)
    if port is not None:
        lines["Expires"] = _time(port.expires_at, now)
    if receiver.is_told:
        lines["Told"] = _words(receiver.told)
    if (is_open := find(conditions, PiaVpnCondition.PORT_OPEN)) is not None:
        lines["Open"] = _words(is_open)
    return lines


def _words(condition: Condition | None) -> str:
    if condition is None:
        return "nothing is known yet"
    word = {Status.TRUE: "yes", Status.FALSE: "no", Status.UNKNOWN: "unknown"}[condition.status]
    return f"{word}: {condition.message or condition.reason}"


def _time(moment: datetime, now: datetime) -> str:
    return f"{codec.format_time(moment)} ({times.ago(moment, now)})"


def _as_json(vpn: piavpns.PiaVpn, receiver: _Receiver | None) -> dict[str, object]:
    conditions = {
        "forwarded": find(vpn.status.conditions, PiaVpnCondition.PORT_FORWARDED),
        "told": receiver.told if receiver else None,
        "open": find(vpn.status.conditions, PiaVpnCondition.PORT_OPEN),
    }
    port, exit_address = vpn.status.forwarded_port, vpn.status.exit_address
    return {
        "vpn": vpn.name,
        "port": port.port if port else None,
        "exitAddress": str(exit_address) if exit_address else None,
        "receiver": receiver.name if receiver else None,
        "expiresAt": codec.encode(port.expires_at) if port else None,
        "lastBoundAt": codec.encode(port.last_bound_at) if port else None,
        **{key: codec.encode(found) if found else None for key, found in conditions.items()},
    }
