"""Wait until the pod is attached and locked, prove it from inside, and only then let the app start.

Needs no API, no capability and no writable path: whatever is broken, the app stays unstarted.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from piavpn.gate import checks

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_SLOWER = 1.2
_USAGE_ERROR = 2


def run() -> int:
    """Return 0 once the pod is confined; wait for ever before that."""
    # A container's first process ignores SIGTERM unless it handles it: pod deletion would hang.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        address = _address_of("PIAVPN_ADDRESS")
        gateway = _address_of("PIAVPN_GATEWAY_ADDRESS")
    except ValueError as error:
        _log(f"error: {error}")
        return _USAGE_ERROR
    _wait(address, gateway)
    _log(f"ok: {address} goes by the gateway {gateway} alone")
    return 0


def _wait(address: str, gateway: str) -> None:
    said = None
    pause = _FIRST_PAUSE
    while problem := checks.first_problem(address, gateway):
        if problem != said:
            _log(f"waiting: {problem}")
            said, pause = problem, _FIRST_PAUSE
        time.sleep(pause)
        pause = min(pause * _SLOWER, _LONGEST_PAUSE)


def _address_of(variable: str) -> str:
    value = os.environ.get(variable, "")
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, value))
    except OSError:
        raise ValueError(
            f"{variable} must hold an IPv4 address and holds {value!r}; "
            "the operator sets it in the pods that it makes"
        ) from None


def _log(line: str) -> None:
    sys.stderr.write(f"piavpn-gate: {line}\n")
    sys.stderr.flush()
