"""Try to get out of a pod, from inside its network namespace, and see what comes of it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import operator
import os
import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from piavpn.api import names
from piavpn.net import netns, nft
from piavpn.node import frames, leaktest, lock, outlet, outlets
from piavpn.node.leaktest import Address, Attempt, Link, Protocol, Run, Seen

_SO_ATTACH_FILTER = 26
_EVERY_PROTOCOL = 3
_UP = 1
_CAME_TO_THE_FILTER = (0, errno.EINPROGRESS, errno.EPERM)
"""A datagram that is dropped there is refused; of a connection's first packet nothing is told."""
_MOST_BYTES = 2048
_KINDS = {Protocol.UDP: socket.SOCK_DGRAM, Protocol.TCP: socket.SOCK_STREAM}

_PAUSE_SECONDS = 0.02

_libc = ctypes.CDLL(None, use_errno=True)


def run(fd: int, cluster: Collection[ipaddress.IPv4Network]) -> Run:
    """Try all ways out of the namespace `fd`, as an app would.

    Args:
        fd: a service pod's network namespace.
        cluster: pod and service CIDRs.

    Raises:
        NftError: nft does not work.
        pyroute2.NetlinkError, OSError: the kernel refused to tell.
    """
    with netns.entered(fd), _tap(leaktest.targets(cluster)) as tap:
        tried = leaktest.attempts(_links(), cluster)
        before = _probes()
        sent = tuple(attempt for attempt in tried if _send(attempt) in _CAME_TO_THE_FILTER)
        after = _probes()
        return Run(
            tried=tried,
            sent=sent,
            seen=tuple(_drain(tap)),
            ways=_ways(),
            counted=leaktest.counted(before, after),
        )


def raw_frames_stopped(fd: int, own: ipaddress.IPv4Address, takes_seconds: float) -> bool | None:
    """Send frames past the lock, as only root can, and tell whether the node dropped them all.

    The calling thread is in the node's namespace. None where the node has no end of the link.

    Args:
        fd: a service pod's network namespace.
        own: the pod's address on the cluster's link.
        takes_seconds: how long a frame may take to the filter: a link's other end is served a
            moment later.

    Raises:
        NftError: the node's filter is not there.
        pyroute2.NetlinkError, OSError: the kernel refused.
    """
    taker = outlets.mac_behind(fd, names.CLUSTER_LINK)
    if taker is None:
        return None
    before = _node_probes()
    with netns.entered(fd), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as raw:
        for protocol, packet in frames.outgoing(own, leaktest.OUTSIDE_IPV4, leaktest.OUTSIDE_IPV6):
            raw.sendto(packet, (names.CLUSTER_LINK, protocol, 0, 0, taker))
    deadline = time.monotonic() + takes_seconds
    while time.monotonic() < deadline:
        if all(map(operator.gt, _node_probes(), before)):
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def _links() -> list[Link]:
    with IPRoute() as kernel:
        addresses = {
            item["index"]: ipaddress.IPv4Address(item.get_attr("IFA_ADDRESS"))
            for item in kernel.get_addr(family=socket.AF_INET)
        }
        return [
            Link(link.get_attr("IFLA_IFNAME"), addresses.get(link["index"]))
            for link in kernel.get_links()
            if link["flags"] & _UP and link.get_attr("IFLA_IFNAME") not in leaktest.HARMLESS_LINKS
        ]


def _send(attempt: Attempt) -> int:
    """Send one packet and return the kernel's error for it; 0 where it took it."""
    family = socket.AF_INET if attempt.target.version == 4 else socket.AF_INET6  # noqa: PLR2004
    try:
        with socket.socket(family, _KINDS[attempt.protocol]) as out:
            out.settimeout(0)
            out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, lock.LEAK_TEST)
            if attempt.link is not None:
                out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, attempt.link.encode())
            if attempt.source is not None:
                out.bind((str(attempt.source), 0))
            out.connect((str(attempt.target), attempt.port))
            if attempt.protocol is Protocol.UDP:
                out.send(b"")
    except OSError as error:
        return error.errno or errno.EIO
    return 0


@contextlib.contextmanager
def _tap(resolvers: Collection[ipaddress.IPv4Address]) -> Iterator[socket.socket]:
    """Listen behind the lock, on all links of our namespace."""
    lines = frames.tap_filter(leaktest.OUTSIDE_IPV4, resolvers, lock.CAME_IN)
    program = ctypes.create_string_buffer(b"".join(lines))
    # Without a protocol it hears nothing yet: what came before the filter is the pod's own traffic.
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0) as tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _Program.of(len(lines), program))
        _hear_all_links(tap)
        yield tap


def _hear_all_links(tap: socket.socket) -> None:
    """Bind it, as packet(7) says; Python's own would have a link's name."""
    everywhere = struct.pack(
        "=HHiHBB8x", socket.AF_PACKET, socket.htons(_EVERY_PROTOCOL), 0, 0, 0, 0
    )
    if _libc.bind(tap.fileno(), everywhere, len(everywhere)):
        number = ctypes.get_errno()
        raise OSError(number, f"packets cannot be heard: {os.strerror(number)}")


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))

    @classmethod
    def of(cls, length: int, lines: ctypes.Array[ctypes.c_char]) -> bytes:
        return bytes(cls(length, ctypes.addressof(lines)))


def _drain(tap: socket.socket) -> Iterator[Seen]:
    while True:
        try:
            packet, (link, protocol, *_) = tap.recvfrom(_MOST_BYTES)
        except BlockingIOError:
            return
        if whither := frames.read(protocol, packet):
            yield Seen(link, *whither)


def _ways() -> Mapping[Address, str]:
    """Ask the routes where an app's packet to the outside would go."""
    ways: dict[Address, str] = {}
    with IPRoute() as kernel:
        links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in kernel.get_links()}
        for target in (leaktest.OUTSIDE_IPV4[1], leaktest.OUTSIDE_IPV6[1]):
            # That no route leads there comes as an error.
            with contextlib.suppress(NetlinkError):
                found: Any = kernel.route("get", dst=str(target))
                index = found[0].get_attr("RTA_OIF")
                ways[target] = links.get(index, f"link {index}")
    return ways


def _probes() -> dict[str, int] | None:
    try:
        return {name: counter.packets for name, counter in nft.counters(lock.TABLE).items()}
    except nft.NftError:
        if nft.has_table(lock.TABLE):
            raise
        return None


def _node_probes() -> list[int]:
    found = nft.all_counters(outlet.TABLES)
    missing = [table for table in outlet.TABLES if table not in found]
    if missing:
        raise nft.NftError(f"the filter on the node's side lacks {' and '.join(missing)}")
    return [found[table][name].packets for table, name in outlet.PROBES]
