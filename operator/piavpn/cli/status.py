"""`kubectl piavpn status`: one screen for everything."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import datetime

from piavpn.api import codec
from piavpn.api.conditions import PiaVpnCondition, PodCondition, ServiceCondition, to_status
from piavpn.cli import cluster, commands, errors, output, overview, pods, times, watching
from piavpn.cli.output import Output
from piavpn.kube import EVENTS, PIA_VPNS, PODS, VPN_SERVICE_CONTAINERS, Cluster
from piavpn.kube.kinds import Selection

_VPN_HEADINGS = (
    "VPN", "READY", "REGION", "SERVER", "EXIT ADDRESS", "PORT", "HANDSHAKE", "RENEWAL", "GATEWAY",
    "NODE",
)  # fmt: skip
_APP_HEADINGS = (
    "APP", "VPN", "READY", "CONFINED", "LEAK-FREE", "ADDRESS", "PORT", "POD", "NODE"
)  # fmt: skip
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 5.0
"""Between two screens, while something changes and while nothing but ages does."""


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(parsers, "status", run, "show tunnels, apps and what happened last")
    parser.add_argument("vpn", nargs="?", help="PiaVpn; default: all")
    parser.add_argument(
        "-w", "--watch", action="store_true", help="show it anew at each change, until Ctrl-C"
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Show everything once, or until the user has seen enough."""
    return _watch(api, options, out) if options.watch else _show(_look(api, options), out)


def _look(api: Cluster, options: argparse.Namespace) -> overview.Overview:
    return overview.look(
        api,
        vpn=options.vpn,
        namespace=options.namespace,
        operator_namespace=options.operator_namespace,
    )


def _watch(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    watched = (
        Selection(PIA_VPNS),
        Selection(VPN_SERVICE_CONTAINERS),
        *(Selection(PODS, labels=label) for label in overview.LABELS),
        *(
            Selection(EVENTS, fields=f"involvedObject.kind={kind.kind}")
            for kind in (PIA_VPNS, VPN_SERVICE_CONTAINERS)
        ),
    )
    with watching.changes(api, *watched) as bell:
        while True:
            bell.clear()
            seen = _look(api, options)
            out.clear()
            _show(seen, out)
            time.sleep(_SHORTEST_SECONDS)
            # Who keeps the screens wants no more of them because time goes by.
            bell.wait(_LONGEST_SECONDS if out.is_terminal else None)


def _show(seen: overview.Overview, out: Output) -> int:
    if out.as_json:
        out.json(_as_json(seen))
    else:
        for line in screen(seen, out.now()):
            out.line(line)
    good = not any(_troubles(seen))
    return errors.GOOD if good else errors.NOT_GOOD


def screen(seen: overview.Overview, now: datetime) -> Iterator[str]:
    """Yield the lines for people."""
    if not seen.vpns:
        yield "There is no PiaVpn."
    else:
        yield from output.table(_VPN_HEADINGS, [_vpn_cells(each, now) for each in seen.vpns])
    apps = [
        *(_app_cells(each) for each in seen.apps),
        *(_pod_cells(each) for each in seen.labelled_pods),
    ]
    if apps:
        yield ""
        yield from output.table(_APP_HEADINGS, apps)
    if troubles := list(_troubles(seen)):
        yield ""
        yield from output.table(("NOT AS IT SHOULD BE", ""), troubles)
    if seen.events:
        yield ""
        cells = [
            (times.ago(event.time, now), event.subject, event.reason, event.message)
            for event in seen.events
        ]
        yield from output.table(("EVENTS", "", "", ""), cells)


def _vpn_cells(seen: overview.Vpn, now: datetime) -> tuple[object, ...]:
    status = seen.vpn.status
    session, port = status.session, status.forwarded_port
    return (
        seen.vpn.name,
        overview.word(status.conditions, PiaVpnCondition.READY),
        session and session.region,
        session and session.server,
        status.exit_address,
        port and port.port,
        times.ago(seen.handshake, now),
        times.ago(session.renew_time, now) if session else None,
        _state(seen.gateway),
        status.node_name,
    )


def _app_cells(seen: overview.App) -> tuple[object, ...]:
    service = seen.service
    conditions = service.status.conditions
    return (
        cluster.full_name(service),
        service.spec.vpn_ref.name,
        overview.word(conditions, ServiceCondition.READY),
        overview.word(conditions, ServiceCondition.CONFINED),
        overview.word(conditions, ServiceCondition.LEAK_FREE),
        service.status.address,
        service.status.forwarded_port,
        "suspended" if service.spec.suspend else _state(seen.pod),
        seen.pod and seen.pod.node,
    )


def _pod_cells(pod: pods.Pod) -> tuple[object, ...]:
    return (
        pod.app,
        pod.vpn,
        overview.word(pod.conditions, ServiceCondition.READY),
        overview.word(pod.conditions, PodCondition.CONFINED),
        overview.word(pod.conditions, PodCondition.LEAK_FREE),
        pod.address,
        None,
        _state(pod),
        pod.node,
    )


def _state(pod: pods.Pod | None) -> str:
    if pod is None:
        return "no pod"
    return f"{pod.state}, {pod.restarts} restarts" if pod.restarts else pod.state


def _troubles(seen: overview.Overview) -> Iterator[tuple[str, str]]:
    for each in seen.vpns:
        if words := overview.trouble(each.vpn.status.conditions):
            yield f"PiaVpn {each.vpn.name}", words
    for app in seen.apps:
        if words := overview.trouble(app.service.status.conditions):
            yield f"app {cluster.full_name(app.service)}", words
    for pod in seen.labelled_pods:
        if words := overview.trouble_of_pod(pod):
            yield f"pod {pod.app}", words


def _as_json(seen: overview.Overview) -> dict[str, object]:
    return {
        "vpns": [
            {
                "name": each.vpn.name,
                "status": codec.encode(each.vpn.status),
                "handshakeTime": codec.encode(each.handshake),
                "gateway": _pod_as_json(each.gateway),
            }
            for each in seen.vpns
        ],
        "apps": [
            {
                "name": app.service.name,
                "namespace": app.service.namespace,
                "vpn": app.service.spec.vpn_ref.name,
                "status": codec.encode(app.service.status),
                "pod": _pod_as_json(app.pod),
            }
            for app in seen.apps
        ],
        "labelledPods": [
            {
                "vpn": pod.vpn,
                "address": pod.address or None,
                "conditions": to_status(pod.conditions),
                "pod": _pod_as_json(pod),
            }
            for pod in seen.labelled_pods
        ],
        "troubles": [{"of": subject, "words": words} for subject, words in _troubles(seen)],
        "events": [codec.encode(event) for event in seen.events],
    }


def _pod_as_json(pod: pods.Pod | None) -> dict[str, object] | None:
    if pod is None:
        return None
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "node": pod.node,
        "state": pod.state,
        "restarts": pod.restarts,
    }
