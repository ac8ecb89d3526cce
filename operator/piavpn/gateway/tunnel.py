"""The slots' WireGuard links: what they lack, the sessions that are on them, and the ways out."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading

from pyroute2 import IPRoute, NetlinkError

from piavpn.api import names
from piavpn.gateway import routing, rules, tracked
from piavpn.gateway.kept import Kept
from piavpn.gateway.session import Session
from piavpn.gateway.slots import SLOTS, Slot
from piavpn.net import nft, routes, wg
from piavpn.net.routing import EVERYWHERE

log = logging.getLogger(__name__)

LOCK_TABLE = "inet piavpn_lock"
"""The node agent's lock of this pod's eth0."""
KEEPALIVE_SECONDS = 25
_ALL = (EVERYWHERE,)
_HOST_PREFIX = 32

FAILURES = (wg.WgError, NetlinkError, routes.MissingLinkError, OSError)
"""What goes wrong when a link vanishes, or when the kernel refuses."""


def absent_links() -> tuple[str, ...]:
    """Return the links that the node agent has yet to make in this namespace, or that are gone."""
    present = _present_links()
    return tuple(link for link in (names.POD_LINK, *names.TUNNEL_LINKS) if link not in present)


def locked() -> bool:
    """Tell whether the node agent has locked this pod's eth0.

    Raises:
        NftError: nft does not work here at all.
    """
    return nft.has_table(LOCK_TABLE)


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


class Ways:
    """Which slots have a session, and by which one new connections go; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Slot, Session] = {}
        self._current = SLOTS[0]
        self._upstreams: tuple[ipaddress.IPv4Address, ...] = ()

    def prepare(self, kept: Kept) -> None:
        """Set rules and backstops, which hold without a session, and keep the ways of living ones.

        Args:
            kept: what an earlier process of this pod left.

        Raises:
            NftError: the rules are refused.
            NetlinkError: the routes are refused.
        """
        with self._lock:
            self._open = {one.slot: one for one in kept.sessions if carries(one)}
            self._current = next(iter(self._open), SLOTS[0])
            nft.load(rules.ruleset(self._current, self._resolvers()))
            self._route()
            for slot in SLOTS:
                if slot not in self._open:
                    _empty(slot)

    def ask(self, upstreams: tuple[ipaddress.IPv4Address, ...]) -> None:
        """Have these resolvers asked instead of the sessions' own, through the tunnel as those.

        Args:
            upstreams: none for the sessions' own.

        Raises:
            NftError: nft does not work here at all.
        """
        with self._lock:
            if upstreams != self._upstreams:
                self._upstreams = upstreams
                self._select()

    def open(self, session: Session, private_key: str) -> None:
        """Put the session on its slot, which then carries it alone.

        Connections of an earlier one on that slot are forgotten.

        Raises:
            FAILURES: the link is gone, or the kernel refused.
        """
        with self._lock:
            wg.configure(session.link, private_key=private_key, peer=_peer(session))
            _address(session)
            tracked.forget(session.slot)
            self._open[session.slot] = session
            # Resolvers before the way to them: a question that nobody answers yet goes nowhere.
            self._select()
            self._route()

    def switch(self, session: Session) -> None:
        """Have new connections take the session's slot; established ones stay on theirs.

        Raises:
            NftError: nft does not work here at all.
        """
        with self._lock:
            self._current = session.slot
            self._select()

    def close(self, slot: Slot) -> None:
        """Take the slot's session down, with the connections that are on it.

        Raises:
            NftError: nft does not work here at all.
        """
        with self._lock:
            self._open.pop(slot, None)
            self._select()
            try:
                self._route()
                tracked.forget(slot)
            except FAILURES as error:
                log.warning("%s was not taken down wholly: %s", slot.link, error)
            _empty(slot)

    def _route(self) -> None:
        present = _present_links()
        links = {slot.link for slot in self._open if slot.link in present}
        routes.apply(*routing.wanted(links), owner=routes.Owner.GATEWAY)

    def _select(self) -> None:
        nft.load(rules.selection(self._current, self._resolvers()))

    def _resolvers(self) -> rules.Resolvers:
        return {
            slot: self._upstreams or session.dns_servers for slot, session in self._open.items()
        }


def _peer(session: Session) -> wg.Peer:
    return wg.Peer(
        public_key=session.server_key,
        address=session.address,
        port=session.endpoint_port,
        allowed_ips=_ALL,
        keepalive=KEEPALIVE_SECONDS,
    )


def _address(session: Session) -> None:
    """Give the link the session's address alone, and set it up."""
    index = socket.if_nametoindex(session.link)
    with IPRoute() as kernel:
        # The new address comes first: with a link's last address the kernel takes its routes.
        kernel.addr("replace", index=index, address=str(session.peer_address), prefixlen=32)
        for other in _addresses(kernel, index) - {session.peer_address}:
            kernel.addr("delete", index=index, address=str(other), prefixlen=_HOST_PREFIX)
        kernel.link("set", index=index, state="up")


def _empty(slot: Slot) -> None:
    """Take key, peer and addresses from the slot's link, if it is there."""
    with contextlib.suppress(*FAILURES):
        wg.clear(slot.link)
        index = socket.if_nametoindex(slot.link)
        with IPRoute() as kernel:
            for address in _addresses(kernel, index):
                kernel.addr("delete", index=index, address=str(address), prefixlen=_HOST_PREFIX)


def _addresses(kernel: IPRoute, index: int) -> set[ipaddress.IPv4Address]:
    dumped = kernel.get_addr(family=socket.AF_INET, index=index)
    return {ipaddress.IPv4Address(item.get_attr("IFA_LOCAL")) for item in dumped}


def _present_links() -> set[str]:
    return {name for _, name in socket.if_nameindex()}
