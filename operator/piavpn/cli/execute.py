"""Run programs in pods by kubectl, which has called the plugin and so is there."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess

from piavpn.cli.errors import CommandError

_SECONDS = 60.0
_LONGEST_QUOTE = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    """Where a program runs."""

    namespace: str
    pod: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl, for the cluster that the plugin was asked about."""

    options: tuple[str, ...]

    @classmethod
    def of(cls, options: argparse.Namespace) -> Kubectl:
        """Return it with the plugin's own options."""
        given = (("--kubeconfig", options.kubeconfig), ("--context", options.context))
        return cls(tuple(f"{name}={value}" for name, value in given if value))

    def start(self, where: Container, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in a container; its output is read by the caller.

        Raises:
            CommandError: there is no kubectl.
        """
        return self._start(
            "exec", "-n", where.namespace, where.pod, "-c", where.name, "--", *command
        )

    def logs(self, where: Container, lines: int) -> str:
        """Return the last lines of a container's log, or why there are none.

        Raises:
            CommandError: there is no kubectl.
        """
        named = ("-n", where.namespace, where.pod, "-c", where.name)
        return _read(self._start("logs", *named, f"--tail={lines}"))

    def read(self, where: Container, *command: str) -> str:
        """Return what a program in a container says, or why it says nothing.

        Raises:
            CommandError: there is no kubectl.
        """
        return _read(self.start(where, *command))

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                ("kubectl", *self.options, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise CommandError(f"kubectl cannot be run: {error.strerror}") from error


def failure(said: bytes) -> str:
    """Return in few words what kubectl says that went wrong."""
    return " ".join(said.decode(errors="replace").split())[:_LONGEST_QUOTE]


def _read(process: subprocess.Popen[bytes]) -> str:
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"(no answer within {_SECONDS:.0f} s)\n"
    trouble = f"({failure(err)})\n" if process.returncode else ""
    return out.decode(errors="replace") + trouble
