"""WireGuard links by the `wg` program, which speaks to the kernel and to wireguard-go alike."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import UTC, datetime

from piavpn.net import programs

_PEER_FIELDS = 8


class WgError(Exception):
    """`wg` refused; the message is its own. It never holds a private key."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair, both in base64."""

    private: str = dataclasses.field(repr=False)
    public: str


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """The server at the other end of a link."""

    public_key: str
    address: ipaddress.IPv4Address
    port: int
    allowed_ips: tuple[ipaddress.IPv4Network, ...]
    keepalive: int
    """Seconds between keepalive packets; 0 means none."""


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
    return KeyPair(private=private, public=_wg("pubkey", stdin=private).strip())


def configure(link: str, *, private_key: str, peer: Peer) -> None:
    """Give the link this key and this one peer; what it had before is gone.

    Raises:
        WgError: there is no such link, or a value is wrong.
    """
    # The configuration goes in by a pipe: arguments and files can be read by others.
    _wg("setconf", link, "/dev/stdin", stdin=config(private_key=private_key, peer=peer))


def clear(link: str) -> None:
    """Take key and peer from the link.

    Raises:
        WgError: there is no such link.
    """
    _wg("setconf", link, "/dev/stdin", stdin="[Interface]\n")


def config(*, private_key: str, peer: Peer) -> str:
    """Return the link's configuration in the format of wg(8)."""
    return "\n".join(
        (
            "[Interface]",
            f"PrivateKey = {private_key}",
            "[Peer]",
            f"PublicKey = {peer.public_key}",
            f"Endpoint = {peer.address}:{peer.port}",
            f"AllowedIPs = {', '.join(str(network) for network in peer.allowed_ips)}",
            f"PersistentKeepalive = {peer.keepalive or 'off'}",
            "",
        )
    )


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
    own, *peers = [line.split("\t") for line in dump.splitlines()] or [[]]
    if len(own) < 2 or (peers and len(peers[0]) < _PEER_FIELDS):  # noqa: PLR2004 - both keys
        raise WgError("wg show printed something unknown")
    public_key = _known(own[1])
    if not peers:
        return Device(public_key)
    peer_key, _, _, _, handshake, received, _, _ = peers[0][:_PEER_FIELDS]
    return Device(
        public_key=public_key,
        peer_public_key=peer_key,
        latest_handshake=datetime.fromtimestamp(int(handshake), UTC) if int(handshake) else None,
        received=int(received),
    )


def _known(value: str) -> str | None:
    return None if value == "(none)" else value


def _wg(*arguments: str, stdin: str = "") -> str:
    try:
        return programs.run("wg", *arguments, stdin=stdin)
    except programs.ProgramError as error:
        raise WgError(str(error)) from error
