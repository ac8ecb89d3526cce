"""WireGuard links by the `wg` program, which speaks to the kernel and to wireguard-go alike."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from piavpn.net import programs

_OWN_FIELDS, _PEER_FIELDS = 4, 8

# wg looks for wireguard-go's sockets in /run/wireguard whatever it is told. Where the kernel's
# WireGuard is used, nobody has made that directory yet.
_ELSEWHERE = 'mkdir -p -m 700 /run/wireguard; mount --bind "$1" /run/wireguard; shift; exec wg "$@"'
_PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", _ELSEWHERE, "sh")


class WgError(Exception):
    """`wg` refused; the message is its own. It never holds a private key."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair, both in base64."""

    private: str = dataclasses.field(repr=False)
    public: str


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a link: a server, or one of several nodes."""

    public_key: str
    address: ipaddress.IPv4Address
    port: int
    allowed_ips: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    keepalive: int
    """Seconds between keepalive packets; 0 means none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Membership:
    """What a link of several peers holds, but for where the peers just are."""

    public_key: str | None
    """Our own; None before a key was set."""
    port: int
    """At which it listens; 0 before one was set."""
    peers: Mapping[str, frozenset[str]]
    """By public key: the networks that are that peer's, as `fd00::1/128`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """What is known of a link. A link without peer has the values of an unused one."""

    public_key: str | None
    """Our own; None before a key was set."""
    peer_public_key: str | None = None
    latest_handshake: datetime | None = None
    received: int = 0
    """Bytes."""


def generate_keys() -> KeyPair:
    """Make a new key pair.

    Raises:
        WgError: `wg` is missing or failed.
    """
    private = _wg("genkey").strip()
    return KeyPair(private=private, public=public_key(private))


def public_key(private_key: str) -> str:
    """Return the public key that goes with a private one, both in base64.

    Raises:
        WgError: `wg` is missing, or that is no key.
    """
    return _wg("pubkey", stdin=private_key).strip()


def configure(link: str, *, private_key: str, peer: Peer) -> None:
    """Give the link this key and this one peer; what it had before is gone.

    Raises:
        WgError: there is no such link, or a value is wrong.
    """
    # The configuration goes in by a pipe: arguments and files can be read by others.
    _wg("setconf", link, "/dev/stdin", stdin=config(private_key, [peer]))


def join(
    link: str, *, private_key: str, port: int, peers: Iterable[Peer], sockets: pathlib.Path
) -> None:
    """Give the link this key, port and exactly these peers; sessions with those that stay go on.

    Args:
        link: name of the link.
        private_key: ours, base64.
        port: at which to listen.
        peers: all that the link is to have.
        sockets: directory of wireguard-go's control socket, which must be there.

    Raises:
        WgError: there is no such link, or a value is wrong.
    """
    text = config(private_key, peers, port=port)
    _wg("syncconf", link, "/dev/stdin", stdin=text, sockets=sockets)


def membership(link: str, *, sockets: pathlib.Path) -> Membership:
    """Return what the link holds.

    Args:
        link: name of the link.
        sockets: directory of wireguard-go's control socket, which must be there.

    Raises:
        WgError: there is no such link.
    """
    return parse_membership(_wg("show", link, "dump", sockets=sockets))


def parse_membership(dump: str) -> Membership:
    """Read `wg show LINK dump`.

    Raises:
        WgError: it is not such a dump.
    """
    own, *peers = _lines(dump)
    return Membership(
        public_key=_known(own[1]),
        port=int(own[2]),
        peers={peer[0]: frozenset(peer[3].split(",")) - {"(none)"} for peer in peers},
    )


def clear(link: str) -> None:
    """Take key and peer from the link.

    Raises:
        WgError: there is no such link.
    """
    _wg("setconf", link, "/dev/stdin", stdin="[Interface]\n")


def config(private_key: str, peers: Iterable[Peer], *, port: int | None = None) -> str:
    """Return a link's configuration in the format of wg(8).

    Args:
        private_key: ours, base64.
        peers: all that the link is to have.
        port: at which to listen; None leaves that to the link.
    """
    listen = () if port is None else (f"ListenPort = {port}",)
    lines = ["[Interface]", f"PrivateKey = {private_key}", *listen]
    for peer in peers:
        lines += [
            "[Peer]",
            f"PublicKey = {peer.public_key}",
            f"Endpoint = {peer.address}:{peer.port}",
            f"AllowedIPs = {', '.join(str(network) for network in peer.allowed_ips)}",
            f"PersistentKeepalive = {peer.keepalive or 'off'}",
        ]
    return "\n".join((*lines, ""))


def show(link: str) -> Device:
    """Return what the link knows of itself and of its peer.

    Raises:
        WgError: there is no such link.
    """
    return parse_dump(_wg("show", link, "dump"))


def parse_dump(dump: str) -> Device:
    """Read `wg show LINK dump`: a line of the link's own, then one for each peer; the first counts.

    Raises:
        WgError: it is not such a dump.
    """
    own, *peers = _lines(dump)
    public_key = _known(own[1])
    if not peers:
        return Device(public_key)
    peer_key, _, _, _, handshake, received, _, _ = peers[0]
    return Device(
        public_key=public_key,
        peer_public_key=peer_key,
        latest_handshake=datetime.fromtimestamp(int(handshake), UTC) if int(handshake) else None,
        received=int(received),
    )


def _lines(dump: str) -> list[list[str]]:
    own, *peers = [line.split("\t") for line in dump.splitlines()] or [[]]
    if len(own) != _OWN_FIELDS or any(len(peer) != _PEER_FIELDS for peer in peers):
        raise WgError("wg show printed something unknown")
    return [own, *peers]


def _known(value: str) -> str | None:
    return None if value == "(none)" else value


def _wg(*arguments: str, stdin: str = "", sockets: pathlib.Path | None = None) -> str:
    elsewhere = () if sockets is None else (*_PRIVATE_MOUNTS, str(sockets))
    program = ("wg",) if sockets is None else ()
    try:
        return programs.run(*elsewhere, *program, *arguments, stdin=stdin)
    except programs.ProgramError as error:
        raise WgError(str(error)) from error
