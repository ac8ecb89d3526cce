"""Whom to trust: PIA's own CA for its VPN servers, the public CAs for its web hosts."""

from __future__ import annotations

import ssl
from importlib import resources

from piavpn.pia import errors

CA_FILE = "ca.rsa.4096.crt"
"""PIA's CA, from pia-foss/manual-connections; valid until 2034-04-12."""


def pia_context(ca_pem: str | None) -> ssl.SSLContext:
    """Return what verifies a VPN server: against PIA's CA (or `ca_pem`) alone.

    PIA's CA certificate has basicConstraints that are not critical and no keyUsage, which strict
    X.509 checks refuse; its servers show leaves with a subjectAltName and, the older ones, with a
    common name only. Both hold for pia-foss' own clients, which compare chain and common name.

    Raises:
        InvalidEndpoint: `ca_pem` holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.hostname_checks_common_name = True
    _trust(context, _built_in_ca() if ca_pem is None else ca_pem, "caBundle")
    return context


def public_context(ca_pem: str | None) -> ssl.SSLContext:
    """Return what verifies a web host: against the system's CAs, or `ca_pem` alone.

    Raises:
        InvalidEndpoint: `ca_pem` holds no certificate.
    """
    if ca_pem is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, ca_pem, "publicCABundle")
    return context


def _built_in_ca() -> str:
    return resources.files(__package__).joinpath(CA_FILE).read_text("ascii")


def _trust(context: ssl.SSLContext, pem: str, field: str) -> None:
    ascii_only = pem.encode("ascii", "ignore").decode()  # people write names above certificates
    try:
        context.load_verify_locations(cadata=ascii_only)
    except (ssl.SSLError, ValueError) as error:
        raise errors.InvalidEndpoint(
            f"spec.endpoints.{field} holds no usable PEM certificate"
        ) from error
