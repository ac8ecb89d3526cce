"""The connections that the kernel tracks, by the slot whose mark they bear."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from piavpn.gateway import dns
from piavpn.gateway.slots import MARK_MASK, Slot

_SEEN_REPLY = 1 << 1  # enum ip_conntrack_status
_LAST_ACK = 6  # enum tcp_conntrack: from here on nothing is sent any more


def forget(slot: Slot) -> None:
    """Delete the slot's tracked connections, which are translated to an address that is gone.

    Raises:
        NetlinkError: the kernel refused.
    """
    with NFCTSocket() as tracked:
        tracked.flush(mark=slot.mark, mark_mask=MARK_MASK)


def is_busy(slot: Slot, own: ipaddress.IPv4Address) -> bool:
    """Tell whether the slot carries connections of apps, or proxied ones, that have not ended.

    Args:
        slot: the slot.
        own: the address in the tunnel, from which the gateway itself asks. Its resolver asks
            addresses that stand for the session's resolvers.

    Raises:
        NetlinkError: the kernel refused.
    """
    with NFCTSocket() as tracked:
        entries: Iterator[Any] = tracked.dump(mark=slot.mark, mark_mask=MARK_MASK)
        return any(_goes_on(entry) and not _is_own(entry, own) for entry in entries)


def _is_own(entry: Any, own: ipaddress.IPv4Address) -> bool:  # noqa: ANN401 - pyroute2 has no types
    source, destination = (_address(entry, f"CTA_IP_V4_{end}") for end in ("SRC", "DST"))
    return source == own or (destination is not None and destination in dns.UPSTREAM_NETWORK)


def _goes_on(entry: Any) -> bool:  # noqa: ANN401 - pyroute2 has no types
    state = _nested(entry, "CTA_PROTOINFO", "CTA_PROTOINFO_TCP", "CTA_PROTOINFO_TCP_STATE")
    if state is not None:
        return bool(state < _LAST_ACK)
    return bool((entry.get_attr("CTA_STATUS") or 0) & _SEEN_REPLY)


def _address(entry: Any, end: str) -> ipaddress.IPv4Address | None:  # noqa: ANN401
    found = _nested(entry, "CTA_TUPLE_ORIG", "CTA_TUPLE_IP", end)
    return ipaddress.IPv4Address(found) if found is not None else None


def _nested(entry: Any, *names: str) -> Any:  # noqa: ANN401 - pyroute2 has no types
    for name in names:
        if entry is None:
            return None
        entry = entry.get_attr(name)
    return entry
