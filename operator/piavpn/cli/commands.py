"""What every command has: its options, as kubectl calls them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from piavpn.cli.output import Output
from piavpn.kube import Cluster

Run = Callable[[Cluster, argparse.Namespace, Output], int]
"""Runs a command and returns its exit code.

Raises:
    CommandError: it cannot be done.
    KubeError: the API server refused or did not answer.
"""


class Subparsers(Protocol):
    """The commands of a parser."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - argparse's word
        description: str,
        parents: list[argparse.ArgumentParser],
    ) -> argparse.ArgumentParser:
        """Add one."""


def add(commands: Subparsers, name: str, run: Run, summary: str) -> argparse.ArgumentParser:
    """Add a command with the options that all have; its own are added to what is returned."""
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", parents=[_given()]
    )
    parser.set_defaults(run=run)
    return parser


def shared() -> argparse.ArgumentParser:
    """Return the options of all commands, with their defaults."""
    return _options(operator_namespace="piavpn-system", output="table")


def _given() -> argparse.ArgumentParser:
    """Return them once more, to stand after a command; what is not given there changes nothing."""
    nothing = argparse.SUPPRESS
    return _options(argument_default=nothing, operator_namespace=nothing, output=nothing)


def _options(
    *, argument_default: str | None = None, operator_namespace: str, output: str
) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argument_default)
    group = shared.add_argument_group("options of all commands")
    group.add_argument("--kubeconfig", metavar="FILE", help="default: as kubectl finds it")
    group.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: its current")
    group.add_argument("-n", "--namespace", metavar="NAME", help="of apps")
    group.add_argument(
        "--operator-namespace",
        metavar="NAME",
        default=operator_namespace,
        help="where the operator runs; default: piavpn-system",
    )
    group.add_argument(
        "-o", "--output", choices=("table", "json"), default=output, help="default: table"
    )
    return shared
