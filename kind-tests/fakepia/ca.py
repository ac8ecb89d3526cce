"""Certificates with PIA's own shape, flaws included.

PIA's CA certificate marks basicConstraints not critical and has no keyUsage, which OpenSSL's strict
mode refuses; its servers' certificates name the server in CN and `name`, the older ones there only.
The HTTPS names of the website are certified by an ordinary public CA.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAME = x509.ObjectIdentifier("2.5.4.41")
_YEAR = dt.timedelta(days=365)
_LEAF_VALIDITY = dt.timedelta(days=180)
_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Make an RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def servers_authority(now: dt.datetime) -> Authority:
    """Make a CA like the one of PIA's servers (`ca.rsa.4096.crt`)."""
    key = new_key(4096)
    subject = _pia_subject("Private Internet Access")
    serial = x509.random_serial_number()
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_and_serial = x509.AuthorityKeyIdentifier(
        key_id.digest, [x509.DirectoryName(subject)], serial
    )
    builder = (
        _builder(subject, subject, key, (now - _YEAR, now + 10 * _YEAR))
        .serial_number(serial)
        .add_extension(key_id, critical=False)
        .add_extension(issuer_and_serial, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
    )
    return Authority(builder.sign(key, hashes.SHA512()), key)


def public_authority(now: dt.datetime) -> Authority:
    """Make a CA as the public ones are: strict verification passes."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fakepia public CA")])
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, subject, key, (now - _YEAR, now + 10 * _YEAR))
        .serial_number(x509.random_serial_number())
        .add_extension(key_id, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def server_leaf(
    authority: Authority,
    cn: str,
    *,
    subject_alternative_name: bool,
    now: dt.datetime,
    expired: bool = False,
) -> Leaf:
    """Issue the certificate of the VPN server `cn`, valid for 180 days around `now` or before."""
    end = now - _HOUR if expired else now + _LEAF_VALIDITY - _HOUR
    names: list[x509.GeneralName] = [x509.DNSName(cn)] if subject_alternative_name else []
    return _issue(authority, _pia_subject(cn), names, end)


def public_leaf(
    authority: Authority,
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    *,
    now: dt.datetime,
) -> Leaf:
    """Issue an ordinary HTTPS certificate for `names` and `addresses`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(address) for address in addresses]
    return _issue(authority, subject, alternatives, now + _LEAF_VALIDITY - _HOUR)


def _issue(
    authority: Authority,
    subject: x509.Name,
    names: Sequence[x509.GeneralName],
    end: dt.datetime,
) -> Leaf:
    key = new_key()
    issuer = authority.certificate.subject
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, issuer, key, (end - _LEAF_VALIDITY, end))
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=True), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Leaf(builder.sign(authority.key, hashes.SHA512()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    validity: tuple[dt.datetime, dt.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
    )


def _pia_subject(cn: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "CA"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "LosAngeles"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Private Internet Access"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Private Internet Access"),
            x509.NameAttribute(NameOID.COMMON_NAME, cn),
            x509.NameAttribute(_NAME, cn),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "secure@privateinternetaccess.com"),
        ]
    )


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
