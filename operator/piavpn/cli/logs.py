"""`kubectl piavpn logs`: what all parts say of one tunnel, in order of time."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from datetime import timedelta

from piavpn.api import durations
from piavpn.cli import cluster, commands, errors, follow, logsources
from piavpn.cli.logsources import Line, Source
from piavpn.cli.output import Output
from piavpn.kube import Cluster, KubeError

_SINCE = "1h"


def add_to(parsers: commands.Subparsers) -> None:
    """Add the command."""
    parser = commands.add(
        parsers,
        "logs",
        run,
        "show what operator, node agents, gateway, gates and hooks say of a tunnel, in order",
    )
    parser.add_argument("vpn", nargs="?", help="PiaVpn; may be left out where there is one alone")
    parser.add_argument("-f", "--follow", action="store_true", help="and what they say from now on")
    parser.add_argument(
        "--since",
        type=_duration,
        metavar="DURATION",
        default=_SINCE,
        help=f"how far back, as 10m or 2h30m; default: {_SINCE}",
    )


def run(api: Cluster, options: argparse.Namespace, out: Output) -> int:
    """Show the logs of all parts as one."""
    vpn = cluster.chosen_vpn(api, options.vpn).name
    namespace = options.operator_namespace
    if options.follow:
        writer = Writer(out)
        follow.follow(
            api, lambda: logsources.find(api, vpn, namespace), options.since, writer.write
        )
        return errors.GOOD
    sources = logsources.find(api, vpn, namespace)
    lines = [line for source in sources for line in _read(api, source, options.since, out)]
    Writer(out, sources).write(lines)
    return errors.GOOD


class Writer:
    """Writes lines in columns."""

    def __init__(self, out: Output, sources: Iterable[Source] = ()) -> None:
        self._out = out
        self._width = max((len(source.part) for source in sources), default=0)

    def write(self, lines: Iterable[Line]) -> None:
        """Write lines in order of time."""
        for line in sorted(lines):
            if self._out.as_json:
                self._out.json_line({"time": line.time, "part": line.part, "line": line.text})
                continue
            self._width = max(self._width, len(line.part))
            self._out.line(f"{line.clock}  {line.part:<{self._width}}  {line.text}")


def _duration(text: str) -> timedelta:
    try:
        return durations.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _read(api: Cluster, source: Source, since: timedelta, out: Output) -> list[Line]:
    out.progress(f"reading {source.part}")
    query = {"sinceSeconds": str(max(1, math.ceil(since.total_seconds())))}
    try:
        return list(source.lines(api, query))
    except KubeError as error:
        out.note(f"{source.part}: {errors.explained(error)}")
        return []
