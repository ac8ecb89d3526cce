"""The slot's WireGuard link: what it lacks, giving it a session, and what became of it."""

from __future__ import annotations

import ipaddress
import socket

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from piavpn.api import names
from piavpn.gateway import routing
from piavpn.gateway.session import Session
from piavpn.gateway.slots import MARK_MASK, Slot
from piavpn.net import nft, routes, wg
from piavpn.net.routing import EVERYWHERE

LOCK_TABLE = "inet piavpn_lock"
"""The node agent's lock of this pod's eth0."""
KEEPALIVE_SECONDS = 25
_ALL = (EVERYWHERE,)
_HOST_PREFIX = 32

FAILURES = (wg.WgError, NetlinkError, routes.MissingLinkError, OSError)
"""What goes wrong when a link vanishes, or when the kernel refuses."""


def absent_links() -> tuple[str, ...]:
    """Return the links that the node agent has yet to make in this namespace, or that are gone."""
    present = {name for _, name in socket.if_nameindex()}
    return tuple(link for link in (names.POD_LINK, *names.TUNNEL_LINKS) if link not in present)


def locked() -> bool:
    """Tell whether the node agent has locked this pod's eth0.

    Raises:
        NftError: nft does not work here at all.
    """
    return nft.has_table(LOCK_TABLE)


def prepare(kept: Session | None) -> None:
    """Set rules and backstops, which hold without a session, and keep the way of a living one.

    Args:
        kept: what an earlier process of this pod left.

    Raises:
        NetlinkError: the kernel refused.
    """
    configured = {kept.link} if kept is not None and carries(kept) else set()
    routes.apply(*routing.wanted(configured), owner=routes.Owner.GATEWAY)


def configure(session: Session, private_key: str) -> None:
    """Put the session on its link, which then carries it alone.

    Raises:
        FAILURES: the link is gone, or the kernel refused.
    """
    wg.configure(session.link, private_key=private_key, peer=_peer(session))
    index = socket.if_nametoindex(session.link)
    with IPRoute() as kernel:
        # The new address comes first: with a link's last address the kernel takes its routes.
        kernel.addr("replace", index=index, address=str(session.peer_address), prefixlen=32)
        for other in _addresses(kernel, index) - {session.peer_address}:
            kernel.addr("delete", index=index, address=str(other), prefixlen=_HOST_PREFIX)
        kernel.link("set", index=index, state="up")
    routes.apply(*routing.wanted({session.link}), owner=routes.Owner.GATEWAY)


def carries(session: Session) -> bool:
    """Tell whether the link still has the session's keys: its own and the server's."""
    try:
        device = wg.show(session.link)
    except wg.WgError:
        return False
    wanted = (session.public_key, session.server_key)
    return (device.public_key, device.peer_public_key) == wanted


def received(session: Session) -> int | None:
    """Return the bytes that came from the server, handshakes included; None without link."""
    try:
        return wg.show(session.link).received
    except wg.WgError:
        return None


def forget_flows(slot: Slot) -> None:
    """Delete the slot's tracked connections, which are translated to an address that is gone.

    Raises:
        NetlinkError: the kernel refused.
    """
    with NFCTSocket() as tracked:
        tracked.flush(mark=slot.mark, mark_mask=MARK_MASK)


def _peer(session: Session) -> wg.Peer:
    return wg.Peer(
        public_key=session.server_key,
        address=session.address,
        port=session.endpoint_port,
        allowed_ips=_ALL,
        keepalive=KEEPALIVE_SECONDS,
    )


def _addresses(kernel: IPRoute, index: int) -> set[ipaddress.IPv4Address]:
    dumped = kernel.get_addr(family=socket.AF_INET, index=index)
    return {ipaddress.IPv4Address(item.get_attr("IFA_LOCAL")) for item in dumped}
