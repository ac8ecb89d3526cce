"""PIA tells those who ask through a tunnel under which address it sees them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pia_server
import pytest
from cryptography import x509
from pia_server import Reply

from piavpn.pia import errors, exit_address

AUTHORITY = pia_server.Authority("A CA")
HOST = "www.privateinternetaccess.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = (x509.DNSName(HOST), x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST)))
    return AUTHORITY.issue(tmp_path_factory.mktemp("host"), "host", names=names)


def ask(port: int, host: str = HOST, address: str | None = pia_server.HOST) -> str:
    found = exit_address.get(
        f"https://{host}:{port}/api/client/status",
        lambda _: ipaddress.IPv4Address(address) if address else None,
        link="lo",
        ca_bundle=AUTHORITY.pem,
        timeout=5,
    )
    return str(found)


def test_the_address_is_what_pia_sees(certificate: Path) -> None:
    with pia_server.serving(certificate, Reply(200, '{"connected":true,"ip":"1.2.3.4"}')) as server:
        assert ask(server.port) == "1.2.3.4"
        (call,) = server.calls
    assert (call.method, call.target) == ("GET", "/api/client/status")


def test_a_host_that_is_an_address_is_not_looked_up(certificate: Path) -> None:
    with pia_server.serving(certificate, Reply(200, '{"ip":"1.2.3.4"}')) as server:
        assert ask(server.port, host=pia_server.HOST, address=None) == "1.2.3.4"


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(errors.Unreachable, match="not known to the tunnel's resolver"):
        ask(443, address=None)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, '{"connected":false,"ip":"1.2.3.4"}'),
        Reply(200, '{"connected":true,"ip":"somewhere"}'),
        Reply(200, '{"connected":true}'),
        Reply(200, "<html>504</html>"),
        Reply(503, '{"connected":true,"ip":"1.2.3.4"}'),
    ],
)
def test_an_answer_that_tells_no_address_of_pias_is_none(certificate: Path, reply: Reply) -> None:
    with (
        pia_server.serving(certificate, reply) as server,
        pytest.raises(errors.BadResponse, match="tells no address"),
    ):
        ask(server.port)


def test_another_authoritys_certificate_is_refused(tmp_path: Path, certificate: Path) -> None:
    assert certificate.exists()
    other = pia_server.Authority("B CA").issue(tmp_path, "host", names=(x509.DNSName(HOST),))
    with (
        pia_server.serving(other, Reply(200, '{"ip":"1.2.3.4"}')) as server,
        pytest.raises(errors.BadCertificate),
    ):
        ask(server.port)
