"""`kubectl piavpn doctor`: is all there that is needed, and what to do where it is not."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter

from piavpn.cli import cluster, commands, doctor_checks, doctor_seen, errors
from piavpn.cli.findings import Finding, Level
from piavpn.cli.output import Output
from piavpn.kube import Cluster


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers, "doctor", run, "check cluster, nodes, networks, rights and credentials"
    )
    parser.add_argument("vpn", nargs="?", help="PiaVpn; default: all")


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Examine the cluster, and tell what to do."""
    if options.vpn is not None:
        cluster.vpn(api, options.vpn)
    observer = doctor_seen.Observer(api, options.operator_namespace, out.progress)
    findings = doctor_checks.every(observer.look(options.vpn))
    if out.as_json:
        out.json([dataclasses.asdict(finding) for finding in findings])
    else:
        _show(findings, out)
    return errors.NOT_GOOD if _count(findings)[Level.FAIL] else errors.GOOD


def _show(findings: list[Finding], out: Output) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        out.line(f"{finding.level:<4}   {finding.check:<{width}}   {finding.said}")
        if finding.todo:
            out.line(f"{'':4}   {'':{width}}   -> {finding.todo}")
    count = _count(findings)
    out.line()
    out.line(
        f"{len(findings)} checks: {count[Level.OK]} ok, {count[Level.WARN]} to be looked at, "
        f"{count[Level.FAIL]} failed"
    )


def _count(findings: list[Finding]) -> Counter[Level]:
    return Counter(finding.level for finding in findings)
