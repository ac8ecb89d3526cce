"""Wait until the pod is attached and locked, prove it from inside, and only then let the app start.

Needs no API, no capability and no writable path: whatever is broken, the app stays unstarted.
What it waits for it says in its log, and in its termination message, which the kubelet keeps as a
file of the container's: there the node agent reads it, to tell it in the pod's conditions.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from piavpn.gate import checks

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0
_SLOWER = 1.2
_USAGE_ERROR = 2
_BEGUN = time.monotonic()
_TERMINATION_LOG = "/dev/termination-log"
"""The kubelet's default for `terminationMessagePath`."""


def run() -> int:
    """Return 0 once the pod is confined; wait for ever before that."""
    # A container's first process ignores SIGTERM unless it handles it: pod deletion would hang.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        # A labelled pod is admitted before it has an address: then the agent alone knows it.
        given = "PIAVPN_ADDRESS" in os.environ
        address = _address_of("PIAVPN_ADDRESS") if given else None
        gateway = _address_of("PIAVPN_GATEWAY_ADDRESS")
    except ValueError as error:
        _log(f"error: {error}", "error")
        _leave_word(f"error: {error}")
        return _USAGE_ERROR
    _wait(checks.in_order(address, gateway))
    passed = f"ok: {address or 'the pod'} goes by the gateway {gateway} alone"
    _log(passed)
    _leave_word(passed)
    return 0


def _wait(every: tuple[checks.Check, ...]) -> None:
    told, said, pause = 0, "", _FIRST_PAUSE
    while True:
        holding, problem = checks.look(every)
        for what, _ in every[told:holding]:
            _log(f"ok: {what}")
        told = max(told, holding)
        if problem is None:
            return
        if problem != said:
            _log(f"waiting: {problem}")
            _leave_word(f"waiting: {problem}")
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
            "the operator sets it, and in labelled pods the admission policy"
        ) from None


def _leave_word(line: str) -> None:
    """Replace the termination message, where there is such a file: nothing depends on it."""
    text = f"{line}\n".encode()
    try:
        fd = os.open(_TERMINATION_LOG, os.O_WRONLY)
        try:
            # In this order a reader finds either line whole, up to its end.
            os.write(fd, text)
            os.ftruncate(fd, len(text))
        finally:
            os.close(fd)
    except OSError:
        return


def _log(text: str, level: str = "info") -> None:
    as_json = os.environ.get("PIAVPN_LOG_FORMAT") == "json"
    line = _json(text, level) if as_json else f"piavpn-gate: {text}"
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _json(text: str, level: str) -> str:
    # Only here: it would cost every other start of an app time.
    import json  # noqa: PLC0415

    moment = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    line = {
        "ts": f"{whole}.{int(moment % 1 * 1000):03}Z",
        "level": level,
        "logger": "piavpn.gate",
        "msg": text,
        "object": {"kind": "Pod", "name": socket.gethostname()},
        "duration_seconds": round(time.monotonic() - _BEGUN, 3),
    }
    return json.dumps(line, ensure_ascii=False)
