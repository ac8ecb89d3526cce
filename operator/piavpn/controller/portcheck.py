"""A try of the forwarded port from outside, as its user asks for it by an annotation. Pure."""

from __future__ import annotations

from datetime import datetime

from piavpn.api import names, piavpns, requests
from piavpn.controller import model


def requested(vpn: piavpns.PiaVpn) -> datetime | None:
    """Return the time at which a try was asked for; None where none was, or no time."""
    return requests.asked_at(vpn.check_port_requested_at)


def notices(vpn: piavpns.PiaVpn) -> tuple[model.Notice, ...]:
    """Return what to tell of a request that cannot be read; the gateway answers all others."""
    asked = vpn.check_port_requested_at
    if asked is None or requested(vpn) is not None:
        return ()
    message = (
        f"{asked[:64]!r} in annotation {names.ANNOTATION_CHECK_PORT_REQUESTED_AT} is no time with "
        "a zone, such as 2026-11-23T12:00:00Z: no try was requested"
    )
    return (model.Notice("Warning", "PortCheckRequestInvalid", message),)
