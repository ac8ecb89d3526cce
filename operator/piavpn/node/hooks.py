"""What the hook that tells an app its port says of itself.

Its words are those of controller/hook.sh: "told|failing|stopped PORT FAILURES EXIT-CODE". They come
from a container that may run anything, so nothing else is let through.
"""

from __future__ import annotations

import re

from piavpn.api import names
from piavpn.api.conditions import Status
from piavpn.node import reasons
from piavpn.node.report import Report

_WORDS = re.compile(r"(told|failing|stopped) ([0-9]{1,5}) ([0-9]{1,9}) ([0-9]{1,3})\n")
_SEE = f"see the logs of container {names.PORT_HOOK_CONTAINER}"


def report(message: str) -> Report:
    """Return the pod's condition that the hook's message makes."""
    found = _WORDS.fullmatch(message)
    if found is None:
        silent = "the hook has told nothing yet: it waits for a port, or runs for the first time"
        return Report(Status.UNKNOWN, reasons.HOOK_SILENT, silent)
    word, port, failures, code = found.groups()
    match word:
        case "told":
            after = f" after {failures} failed attempts" if int(failures) else ""
            return Report(Status.TRUE, reasons.TOLD, f"port {port} was told{after}")
        case "failing":
            message = (
                f"port {port} could not be told in {failures} attempts, exit code {code}; it is "
                f"tried again: {_SEE}"
            )
            return Report(Status.FALSE, reasons.HOOK_FAILING, message)
    message = f"port {port} could not be told and is not tried again, exit code {code}: {_SEE}"
    return Report(Status.FALSE, reasons.HOOK_STOPPED, message)
