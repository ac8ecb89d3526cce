"""The certificates that listeners present, some of them wrong on purpose."""

import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from fakepia import ca, identity, world


@dataclass(frozen=True, slots=True)
class ServerContexts:
    """The faces of one VPN server."""

    genuine: ssl.SSLContext
    wrong_cn: ssl.SSLContext
    expired: ssl.SSLContext


def front_context(keys: identity.Identity, now: dt.datetime) -> ssl.SSLContext:
    """Give the website's context."""
    leaf = ca.public_leaf(keys.public, world.FRONT_NAMES, [world.FRONT], now=now)
    return _context(leaf)


def server_contexts(
    server: world.Server, keys: identity.Identity, now: dt.datetime
) -> ServerContexts:
    """Give the contexts of a VPN server.

    A client that names anything but the server's CN in its SNI gets a certificate of the public CA,
    as some of PIA's servers do (pia-foss/manual-connections issue 85).
    """
    with_san = server.subject_alternative_name
    genuine, wrong_cn, expired = (
        _context(
            ca.server_leaf(
                keys.servers, cn, subject_alternative_name=with_san, now=now, expired=ended
            )
        )
        for cn, ended in ((server.cn, False), ("nowhere499", False), (server.cn, True))
    )
    other = _context(ca.public_leaf(keys.public, ["*.privacy.network"], [], now=now))

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None or name.lower() != server.cn.lower():
            connection.context = other

    genuine.sni_callback = choose
    return ServerContexts(genuine, wrong_cn, expired)


def _context(leaf: ca.Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    chain = leaf.certificate.public_bytes(serialization.Encoding.PEM)
    # The ssl module reads files only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chain-and-key.pem")
        path.write_bytes(chain + identity.key_pem(leaf.key))
        context.load_cert_chain(path)
    return context
