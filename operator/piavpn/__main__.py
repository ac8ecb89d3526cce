"""The program's five commands. Each imports only what it runs: the gate must start fast."""

from __future__ import annotations

import sys

USAGE = "usage: piavpn {operator,node-agent,gateway,gate,hook CLIENT PORT}"


def main() -> int:
    """Run the command that the first argument names and return its exit code."""
    match sys.argv[1:]:
        case ["operator"]:
            from piavpn.controller import main as command  # noqa: PLC0415
        case ["node-agent"]:
            from piavpn.node import main as command  # type: ignore[no-redef] # noqa: PLC0415
        case ["gateway"]:
            from piavpn.gateway import main as command  # type: ignore[no-redef] # noqa: PLC0415
        case ["hook", _, _]:
            from piavpn.hook import main as command  # type: ignore[no-redef] # noqa: PLC0415
        case ["gate"]:
            from piavpn.gate import main as command  # type: ignore[no-redef] # noqa: PLC0415
        case _:
            sys.stderr.write(f"{USAGE}\n")
            return 2
    return command.run()


if __name__ == "__main__":
    sys.exit(main())
