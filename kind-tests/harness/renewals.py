"""Renewals on request, as README tells to make one."""

from __future__ import annotations

import datetime as dt
import time

from harness import kubectl, probes, waiting

_SECONDS = 180.0
"""A renewal waits for the grace period of the one before it."""


def renew(tunnel: probes.Tunnel) -> float:
    """Ask for a renewal, wait until the status has it, and return the seconds of that."""
    session = tunnel.status()["session"]
    before, registered = session["publicKey"], dt.datetime.fromisoformat(session["registeredTime"])
    # A request says a second: one that says the session's own is about the one before.
    waiting.eventually(
        lambda: dt.datetime.now(dt.UTC) > registered + dt.timedelta(seconds=1), "the next second"
    )
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = f"piavpn.dev/renew-requested-at={now}"
    since = time.monotonic()
    kubectl.run("annotate", "piavpn", tunnel.vpn, "--overwrite", asked)
    waiting.eventually(
        lambda: (tunnel.status().get("session") or {}).get("publicKey", before) != before,
        "another session in the status",
        timeout=_SECONDS,
    )
    return time.monotonic() - since
