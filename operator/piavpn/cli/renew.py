"""`kubectl piavpn renew`: another server now, and what it came to."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta

from piavpn.api import codec, names, piavpns
from piavpn.api.conditions import PiaVpnCondition, find
from piavpn.cli import cluster, commands, errors, watching
from piavpn.cli.output import Output
from piavpn.kube import PIA_VPNS, Cluster
from piavpn.kube.kinds import Selection

_TIMEOUT_SECONDS = 180
_EXIT_ADDRESS_SECONDS = 15.0
"""How long the Internet is asked by which address it sees the new session, at most."""


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "renew", run, "replace a tunnel's session by one at another server"
    )
    parser.add_argument("vpn", help="PiaVpn")
    parser.add_argument("--wait", action="store_true", help="until it is done, and show it")
    parser.add_argument(
        "--timeout",
        type=int,
        metavar="SECONDS",
        default=_TIMEOUT_SECONDS,
        help=f"of --wait; default: {_TIMEOUT_SECONDS}",
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Ask for a renewal and, if so wished, wait for it."""
    vpn = cluster.vpn(api, options.vpn)
    old = vpn.status.session
    if old is None:
        raise errors.CommandError(f"PiaVpn {vpn.name} has no session to renew: {_why_down(vpn)}")
    _ask(api, vpn.name, old, out.now())
    if not options.wait:
        return _asked(vpn, old, out)
    waited = watching.until(
        api,
        Selection(PIA_VPNS, fields=f"metadata.name={vpn.name}"),
        lambda: _renewed(api, vpn.name, old, out),
        options.timeout,
    )
    if waited is None:
        now = cluster.vpn(api, vpn.name)
        out.note(
            f"PiaVpn {vpn.name} was not renewed within {options.timeout} s, and is asked on: "
            f"{_why_not(now)}"
        )
        return errors.NOT_GOOD
    return _show(vpn, _with_exit_address(api, vpn, out) or waited, out)


def _ask(api: Cluster, name: str, session: piavpns.Session, now: datetime) -> None:
    # A clock that is slow must not ask for a session older than the one that there is.
    when = max(now, session.registered_time + timedelta(seconds=1))
    asked = {names.ANNOTATION_RENEW_REQUESTED_AT: codec.format_time(when)}
    api.patch(PIA_VPNS, name, None, {"metadata": {"annotations": asked}})


def _renewed(api: Cluster, name: str, old: piavpns.Session, out: Output) -> piavpns.PiaVpn | None:
    vpn = cluster.vpn(api, name)
    new = vpn.status.session
    if new is not None and new.public_key != old.public_key:
        return vpn
    out.progress(f"waiting for a session at another server: {_why_not(vpn)}")
    return None


def _with_exit_address(api: Cluster, before: piavpns.PiaVpn, out: Output) -> piavpns.PiaVpn | None:
    """Wait until another exit address is known; None where it stays the same."""
    out.progress("asking which address the Internet sees")
    return watching.until(
        api,
        Selection(PIA_VPNS, fields=f"metadata.name={before.name}"),
        _seen_otherwise(api, before),
        _EXIT_ADDRESS_SECONDS,
    )


def _seen_otherwise(api: Cluster, before: piavpns.PiaVpn) -> Callable[[], piavpns.PiaVpn | None]:
    def look() -> piavpns.PiaVpn | None:
        vpn = cluster.vpn(api, before.name)
        return vpn if vpn.status.exit_address != before.status.exit_address else None

    return look


def _asked(vpn: piavpns.PiaVpn, old: piavpns.Session, out: Output) -> int:
    if out.as_json:
        out.json({"vpn": vpn.name, "before": _session(old, vpn.status.exit_address)})
    else:
        out.line(
            f"PiaVpn {vpn.name} is asked for another session; {old.server} ({old.region}) stays "
            "until that one works"
        )
    return errors.GOOD


def _show(before: piavpns.PiaVpn, now: piavpns.PiaVpn, out: Output) -> int:
    old, new = before.status, now.status
    if old.session is None or new.session is None:
        raise errors.CommandError(f"PiaVpn {now.name} has lost its session: {_why_down(now)}")
    was = _session(old.session, old.exit_address)
    is_ = _session(new.session, new.exit_address)
    if out.as_json:
        out.json({"vpn": now.name, "before": was, "now": is_})
    else:
        rows = [("before", *was.values()), ("now", *is_.values())]
        out.table(("", "REGION", "SERVER", "EXIT ADDRESS"), rows)
    return errors.GOOD


def _session(
    session: piavpns.Session, exit_address: ipaddress.IPv4Address | None
) -> dict[str, str | None]:
    seen = str(exit_address) if exit_address is not None else None
    return {"region": session.region, "server": session.server, "exitAddress": seen}


def _why_down(vpn: piavpns.PiaVpn) -> str:
    known = find(vpn.status.conditions, PiaVpnCondition.READY)
    return f"{known.reason}: {known.message}" if known else "the operator has said nothing yet"


def _why_not(vpn: piavpns.PiaVpn) -> str:
    known = find(vpn.status.conditions, PiaVpnCondition.REGISTERED)
    return f"{known.reason}: {known.message}" if known else "the gateway has said nothing yet"
