"""Whether the API server judges pods behind tunnels as they are made. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from piavpn.cli.doctor_model import Seen
from piavpn.cli.findings import Finding, ok, warn

CONFINED_PODS, LABELLED_PODS = "piavpn-confined-pods", "piavpn-labelled-pods"
"""Names of the policies that refuse, and that change; each has a binding of the same name."""
VALIDATING, MUTATING = "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"
UNREAD = "admission policies"
"""What it is called where it may not be read."""


def every(seen: Seen) -> Iterator[Finding]:
    """Yield all findings: of what was asked, and answered."""
    if UNREAD in seen.unread:
        return
    yield _of(
        seen,
        VALIDATING,
        CONFINED_PODS,
        "what undoes a pod's lock is not refused, but found by the node's agent alone",
        "kubectl apply -k manifests/base",
    )
    if MUTATING in seen.policies:
        yield _of(
            seen,
            MUTATING,
            LABELLED_PODS,
            "a pod with label piavpn.dev/vpn must bring its gate itself",
            "kubectl apply -k manifests/mutating, if there are to be pods by label alone",
        )


def _of(seen: Seen, kind: str, name: str, effect: str, todo: str) -> Finding:
    check = f"policy {name}"
    for each in (kind, f"{kind}Binding"):
        if seen.policies.get(each) is None:
            return warn(check, f"there is no {each} {name}: {effect}", todo)
    return ok(check, "there, and bound")
