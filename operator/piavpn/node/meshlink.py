"""The node's WireGuard link to the other nodes, in the calling thread's namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import logging
import pathlib
import shutil
import socket
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from piavpn.api import names
from piavpn.net import nft, routing, wg
from piavpn.node import canonical, links, mesh, meshfilter, nodekey, podnet, reasons
from piavpn.node.decide import Problem

log = logging.getLogger(__name__)

_UP = 1
_WHOLE = 128  # bits of an IPv6 address
_UNREACHABLE = 7
_NO_DUPLICATE_DETECTION = 0x02
_WAY_METRIC, _BACKSTOP_METRIC = 100, 4096
_NO_IPV6 = (errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EACCES)

_SYSCTLS = {
    f"net/ipv6/conf/{names.NODES_LINK}/disable_ipv6": "0",
    f"net/ipv6/conf/{names.NODES_LINK}/accept_ra": "0",
    f"net/ipv6/conf/{names.NODES_LINK}/addr_gen_mode": "1",
}
"""Set while the link is down: it has the one address that it is given."""


class MeshError(Exception):
    """The link cannot be made; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Present:
    """What the kernel holds of the link."""

    mtu: int
    up: bool
    addresses: frozenset[ipaddress.IPv6Address]
    has_way: bool
    """Whether the prefix's route by the link is there."""


class MeshLink:
    """Makes the link and takes it away. One that an earlier agent left is gone on with."""

    def __init__(
        self, known: canonical.Canonical, wireguard: links.Links, directory: pathlib.Path
    ) -> None:
        """Make nothing yet.

        Args:
            known: tells how an intact filter is listed.
            wireguard: makes WireGuard links.
            directory: on the node, for the link's key and control socket.
        """
        self._canonical = known
        self._links = wireguard
        self._directory = directory
        self._may_be_there = True
        self.key = nodekey.NodeKey(directory)

    def settle(self, wanted: mesh.Mesh | None) -> Problem | None:
        """Make the link, or take it away where it is not wanted; return what went wrong."""
        if wanted is None and not self._may_be_there:
            return None
        self._may_be_there = True
        try:
            if wanted is not None:
                self.bring(wanted)
                return None
            self.remove()
        except MeshError as error:
            return Problem(reasons.MESH_FAILED, str(error))
        except (nft.NftError, NetlinkError) as error:
            log.warning("link %s cannot be removed: %s", names.NODES_LINK, error)
            return None
        self._may_be_there = False
        return None

    def leave(self) -> None:
        """Take the link away for good, and the key with it: another agent may never come.

        Raises:
            pyroute2.NetlinkError, NftError, OSError: it cannot be.
        """
        self.remove()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    def bring(self, wanted: mesh.Mesh) -> None:
        """Make link, peers, address and routes as they must be. What is right is left alone.

        The backstop comes first: nothing for another node goes in clear at any time.

        Raises:
            MeshError: it cannot be made; what is there of it leads nowhere else.
        """
        try:
            self._ensure_backstop()
            self._ensure_link()
            self._ensure_peers(wanted)
            self._ensure_addressed(wanted)
        except (links.LinkError, wg.WgError, nft.NftError, OSError, NetlinkError) as error:
            raise MeshError(_in_words(error)) from error

    def remove(self) -> None:
        """Take the link away, then what keeps others' packets from its addresses.

        Raises:
            pyroute2.NetlinkError, NftError: the kernel refused.
        """
        with IPRoute() as kernel:
            for index in kernel.link_lookup(ifname=names.NODES_LINK):
                kernel.link("del", index=index)
            if _has_route(kernel, None):
                kernel.route("del", **_backstop())
        if nft.has_table(meshfilter.TABLE):
            nft.delete_table(meshfilter.TABLE)

    def _ensure_backstop(self) -> None:
        with IPRoute() as kernel:
            if not _has_route(kernel, None):
                kernel.route("replace", **_backstop())
        ruleset = meshfilter.ruleset()
        intact = self._canonical.listing(meshfilter.TABLE, ruleset)
        if nft.find_table(meshfilter.TABLE) != intact:
            nft.load(ruleset)

    def _ensure_link(self) -> None:
        with IPRoute() as kernel:
            there = kernel.link_lookup(ifname=names.NODES_LINK)
        if not there:
            self._links.add_here(names.NODES_LINK, directory=self._directory)
            podnet.write_sysctls(_SYSCTLS)

    def _ensure_peers(self, wanted: mesh.Mesh) -> None:
        pair = self.key.pair()
        membership = wg.Membership(
            public_key=pair.public,
            port=names.NODES_PORT,
            peers={
                peer.public_key: frozenset({f"{peer.address}/{_WHOLE}"}) for peer in wanted.peers
            },
        )
        if wg.membership(names.NODES_LINK, sockets=self._directory) != membership:
            wg.join(
                names.NODES_LINK,
                private_key=pair.private,
                port=names.NODES_PORT,
                peers=[_peer(peer) for peer in wanted.peers],
                sockets=self._directory,
            )

    def _ensure_addressed(self, wanted: mesh.Mesh) -> None:
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname=names.NODES_LINK)
            intact = _Present(wanted.mtu, up=True, addresses=_only(wanted), has_way=True)
            if (before := _present(kernel, index)) == intact:
                return
            kernel.link("set", index=index, mtu=wanted.mtu, state="up")
            for address in before.addresses - intact.addresses:
                kernel.addr("del", index=index, address=str(address), prefixlen=_WHOLE)
            kernel.addr(
                "replace",
                index=index,
                address=str(wanted.address),
                prefixlen=_WHOLE,
                flags=_NO_DUPLICATE_DETECTION,
            )
            kernel.route("replace", **_route(_WAY_METRIC), oif=index)


def _peer(peer: mesh.Peer) -> wg.Peer:
    return wg.Peer(
        public_key=peer.public_key,
        address=peer.node,
        port=names.NODES_PORT,
        allowed_ips=(ipaddress.IPv6Network(peer.address),),
        keepalive=0,
    )


def _only(wanted: mesh.Mesh) -> frozenset[ipaddress.IPv6Address]:
    return frozenset({wanted.address})


def _present(kernel: Any, index: int) -> _Present:  # noqa: ANN401 - pyroute2 has no types
    (link,) = kernel.get_links(index)
    return _Present(
        mtu=link.get_attr("IFLA_MTU"),
        up=bool(link["flags"] & _UP),
        addresses=frozenset(
            ipaddress.IPv6Address(item.get_attr("IFA_ADDRESS"))
            for item in kernel.get_addr(family=socket.AF_INET6, index=index)
        ),
        has_way=_has_route(kernel, index),
    )


def _has_route(kernel: Any, index: int | None) -> bool:  # noqa: ANN401 - pyroute2 has no types
    """Tell whether the prefix's route by that link is there; None: the unreachable one."""
    return any(
        (item["type"] == _UNREACHABLE if index is None else item.get_attr("RTA_OIF") == index)
        for item in kernel.get_routes(family=socket.AF_INET6, table=routing.MAIN_TABLE)
        if item.get_attr("RTA_DST") == str(mesh.PREFIX.network_address)
        and item["dst_len"] == mesh.PREFIX.prefixlen
    )


def _route(metric: int) -> dict[str, Any]:
    return {
        "family": socket.AF_INET6,
        "dst": str(mesh.PREFIX),
        "table": routing.MAIN_TABLE,
        "priority": metric,
        "proto": int(routing.Owner.NODE_AGENT),
    }


def _backstop() -> dict[str, Any]:
    return _route(_BACKSTOP_METRIC) | {"type": _UNREACHABLE}


def _in_words(error: Exception) -> str:
    if isinstance(error, NetlinkError) and error.code in _NO_IPV6:
        return (
            f"the node's kernel does no IPv6 ({error}), by which nodes reach each other encrypted:"
            " turn it on (kernel parameter ipv6.disable), or set spec.network.nodeEncryption: None"
        )
    return f"link {names.NODES_LINK} to the other nodes cannot be set up: {error}"
