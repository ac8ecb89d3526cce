"""The entry point `kubectl-piavpn`: kubectl runs it as `kubectl piavpn`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from piavpn import kube
from piavpn.cli import (
    capture,
    cluster,
    commands,
    doctor,
    errors,
    leaktest,
    logs,
    port,
    regions,
    renew,
    status,
    upgrade,
)
from piavpn.cli.output import Output

COMMANDS = (status, regions, renew, port, leaktest, logs, doctor, upgrade, capture)
"""The modules of the commands; each has `add_to`."""


def main() -> int:
    """Run the command line's command and return its exit code."""
    # A watch that is refused, or breaks off, is made up for by a look every few seconds.
    logging.getLogger("piavpn.kube.watch").setLevel(logging.ERROR)
    try:
        return run(sys.argv[1:], Output(sys.stdout, sys.stderr))
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough; Python's own flush at the end must not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.GOOD


def run(arguments: Sequence[str], out: Output) -> int:
    """Run the command that the arguments name and return its exit code."""
    options = parser().parse_args(arguments)
    out.as_json = options.output == "json"
    try:
        code: int = options.run(cluster.connect(options.kubeconfig, options.context), options, out)
    except errors.CommandError as error:
        out.note(f"error: {error}")
        return errors.FAILED
    except kube.KubeError as error:
        out.note(f"error: {errors.explained(error)}")
        return errors.FAILED
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = argparse.ArgumentParser(
        prog="kubectl piavpn",
        description="See and run PIA tunnels, and the apps behind them.",
        parents=[commands.shared()],
        epilog="Exit codes: 0, all is well; 1, something is not; 2, it could not be asked.",
    )
    parsers = made.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(parsers)
    return made


if __name__ == "__main__":
    sys.exit(main())
