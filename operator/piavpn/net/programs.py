"""Run a program to its end and tell what it said when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


class ProgramError(Exception):
    """A program is missing, failed or did not end in time; the message is what it said."""


class ProgramMissingError(ProgramError):
    """A program is not installed where it is looked for."""


def run(
    *command: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    timeout: float = 20.0,
) -> str:
    """Run `command` and return its standard output.

    Args:
        command: the program and its arguments; never a secret, arguments are visible to all.
        stdin: given to the program's standard input.
        environment: the program's whole environment; None means our own.
        timeout: seconds after which the program is killed.

    Raises:
        ProgramError: it could not be run, failed or did not end in time.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=environment,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProgramMissingError(f"program {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command[0]} did not end within {timeout:g} s") from error
    except OSError as error:
        raise ProgramError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ProgramError(f"{command[0]}: {' '.join(said) or f'exit code {done.returncode}'}")
    return done.stdout
