from __future__ import annotations

import hashlib
import ssl

import pia_server
import pytest

from piavpn.pia import errors, tls

PIA_CA = "1fd2565845 6eab3041fba77ccd398ab8124edcc1b8b2fc1d55fdf6b1bbfc9d70".replace(" ", "")


def test_the_built_in_ca_is_pias() -> None:
    (certificate,) = tls.pia_context(None).get_ca_certs(binary_form=True)

    assert hashlib.sha256(certificate).hexdigest() == PIA_CA


def test_a_vpn_server_is_verified_against_pias_ca_alone() -> None:
    context = tls.pia_context(None)

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_web_host_is_not_verified_against_pias_ca() -> None:
    trusted = tls.public_context(None).get_ca_certs(binary_form=True)

    assert PIA_CA not in {hashlib.sha256(item).hexdigest() for item in trusted}


@pytest.mark.parametrize("pem", ["no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n", "ü"])
def test_a_bundle_without_certificate_is_named(pem: str) -> None:
    with pytest.raises(errors.InvalidEndpoint, match=r"spec\.endpoints\.caBundle"):
        tls.pia_context(pem)


def test_a_bundle_may_say_in_any_language_whose_certificates_it_holds() -> None:
    authority = pia_server.Authority("A CA")

    context = tls.public_context(f"Zürich, 日本\n{authority.pem}")

    assert context.cert_store_stats()["x509_ca"] == 1
