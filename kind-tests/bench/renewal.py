"""What a renewal costs an app that talks meanwhile: lost pings and broken connections."""

from __future__ import annotations

from bench import results
from harness import probes, renewals, talk

_ROUNDS = 5
_PINGS, _CONNECTIONS = 1_000, 20


def measure(tunnel: probes.Tunnel) -> list[results.Measurement]:
    """Renew again and again, and as often do not, for comparison."""
    quiet = [_talk(tunnel, renewing=False) for _ in range(_ROUNDS)]
    renewed = [_talk(tunnel, renewing=True) for _ in range(_ROUNDS)]
    return [
        *_losses("renewal", renewed, results.Bar(0)),
        *_losses("no renewal", quiet, None),
    ]


def _talk(tunnel: probes.Tunnel, *, renewing: bool) -> talk.Outcome:
    with talk.talking(tunnel.app, pings=_PINGS, connections=_CONNECTIONS) as talking:
        if renewing:
            renewals.renew(tunnel)
        return talking.end()


def _losses(
    when: str, outcomes: list[talk.Outcome], bar: results.Bar | None
) -> list[results.Measurement]:
    lost = tuple(float(one.lost) for one in outcomes)
    broken = tuple(float(one.broken_connections) for one in outcomes)
    return [
        results.Measurement(
            f"{when}: pings lost of {_PINGS:,} and more",
            "pings",
            lost,
            bar,
            row=f"renewal: pings lost of {_PINGS:,} at 100/s / of as many without one",
        ),
        results.Measurement(
            f"{when}: connections broken of {_CONNECTIONS}",
            "connections",
            broken,
            bar,
            row=f"renewal: long-lived connections broken of {_CONNECTIONS}"
            " / of as many without one",
        ),
    ]
