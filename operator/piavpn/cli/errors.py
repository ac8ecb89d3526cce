"""How commands end."""

from __future__ import annotations

from piavpn import kube

GOOD, NOT_GOOD, FAILED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: as it should be; something is not; usage, or the cluster cannot be asked."""

_UNAUTHORIZED, _FORBIDDEN = 401, 403


class CommandError(Exception):
    """What was asked cannot be done; the message is one line for the user."""


def explained(error: kube.KubeError) -> str:
    """Return in one line what a failed request means to whoever runs kubectl."""
    said = " ".join(str(error).split())
    if not error.answered:
        return f"the cluster does not answer ({said}): see whether `kubectl get nodes` works"
    if error.absent:
        return f"the cluster knows no piavpn.dev ({said}): install it, as README.md says"
    if error.status == _UNAUTHORIZED:
        return f"the cluster does not know you ({said}): log in as kubectl needs it"
    if error.status == _FORBIDDEN:
        return f"you may not do that ({said}): ask the cluster's admin for this right"
    return said
