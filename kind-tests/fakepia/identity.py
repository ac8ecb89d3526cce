"""The keys that clients are told of: both CAs, the list's key. Made at start or kept in a folder.

Kept, they let a restarted stand-in serve clients that were configured before.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fakepia import ca, world


class DamagedError(Exception):
    """What was kept cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes this stand-in the same one after a restart."""

    servers: ca.Authority
    public: ca.Authority
    list_key: rsa.RSAPrivateKey
    port_forward_key: rsa.RSAPrivateKey

    def endpoints(self) -> dict[str, str]:
        """Give what a client has to be told, under the names of PiaVpn's `spec.endpoints`."""
        return {
            "tokenURL": f"https://{world.FRONT}/api/client/v2/token",
            "statusURL": f"https://{world.FRONT}/api/client/status",
            "serverListURL": f"https://{world.FRONT}/vpninfo/servers/v6",
            "dedicatedIPURL": f"https://{world.FRONT}/api/client/v2/dedicated_ip",
            "serverListPublicKey": _public_pem(self.list_key),
            "caBundle": _certificate_pem(self.servers.certificate),
            "publicCABundle": _certificate_pem(self.public.certificate),
        }


def create(now: dt.datetime) -> Identity:
    """Make new keys and authorities."""
    return Identity(
        servers=ca.servers_authority(now),
        public=ca.public_authority(now),
        list_key=ca.new_key(),
        port_forward_key=ca.new_key(),
    )


def load_or_create(folder: Path | None, now: dt.datetime) -> Identity:
    """Read the identity kept in `folder`, else make one and keep it there (None: keep nothing).

    Raises:
        DamagedError, ValueError: the folder holds files that are no keys or certificates.
        OSError: the folder can be neither read nor written.
    """
    if folder is None:
        return create(now)
    if (folder / "complete").exists():
        return _load(folder)
    identity = create(now)
    _save(folder, identity)
    return identity


def _load(folder: Path) -> Identity:
    return Identity(
        servers=_load_authority(folder, "servers-ca"),
        public=_load_authority(folder, "public-ca"),
        list_key=_load_key(folder, "list"),
        port_forward_key=_load_key(folder, "port-forward"),
    )


def _save(folder: Path, identity: Identity) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _save_authority(folder, "servers-ca", identity.servers)
    _save_authority(folder, "public-ca", identity.public)
    _save_key(folder, "list", identity.list_key)
    _save_key(folder, "port-forward", identity.port_forward_key)
    # Last: a start that was interrupted leaves no half of an identity to be taken for a whole.
    (folder / "complete").touch()


def _load_authority(folder: Path, name: str) -> ca.Authority:
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
    return ca.Authority(certificate, _load_key(folder, name))


def _save_authority(folder: Path, name: str, authority: ca.Authority) -> None:
    (folder / f"{name}.crt").write_text(_certificate_pem(authority.certificate))
    _save_key(folder, name, authority.key)


def _load_key(folder: Path, name: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise DamagedError(f"{folder / name}.key is no RSA key; empty {folder} to make new ones")
    return key


def _save_key(folder: Path, name: str, key: rsa.RSAPrivateKey) -> None:
    path = folder / f"{name}.key"
    path.touch(mode=0o600)
    path.write_bytes(key_pem(key))


def key_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Give a private key in PKCS#8, PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
