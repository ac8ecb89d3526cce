"""Whether anything reached the Internet by another way than a tunnel while it was measured."""

from __future__ import annotations

from fakepia import client
from harness import kubectl, manifests, probes, waiting

_NAME = "bench-control"


def begin(pia: client.Client) -> int:
    """See that the detector sees, and return the marker of the time since when it is to be empty.

    Raises:
        AssertionError: it does not see an ordinary pod, so its silence would prove nothing.
    """
    pia.reset()
    room = manifests.namespace(_NAME)
    try:
        kubectl.apply(room)
        kubectl.apply(manifests.ordinary_pod("ordinary", _NAME))
        kubectl.wait_for("pod", "ordinary", "Ready", _NAME)
        seen = probes.Pod("ordinary", _NAME).tcp()
        assert not seen.startswith("failed"), f"the ordinary pod does not get out: {seen}"
        waiting.eventually(lambda: pia.leaks().packets, "the detector sees an ordinary pod")
    finally:
        kubectl.delete(room)
    return pia.mark_leaks()


def packets(pia: client.Client, marker: int) -> int | None:
    """Return how many packets leaked since; None where the detector does not answer."""
    try:
        return pia.leaks(marker).packets
    except (OSError, client.ControlError):
        return None
