"""Somebody on the Internet tells whether our port is open."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pia_server
import pytest
from cryptography import x509
from pia_server import Reply

from piavpn.pia import errors, port_check

AUTHORITY = pia_server.Authority("A CA")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
    return AUTHORITY.issue(tmp_path_factory.mktemp("host"), "host", names=(name,))


def ask(port: int) -> bool:
    url = f"https://{pia_server.HOST}:{port}/port/45678"
    return port_check.get(url, lambda _: None, link="lo", ca_bundle=AUTHORITY.pem, timeout=5)


@pytest.mark.parametrize(("said", "expected"), [("true", True), ("false", False)])
def test_the_answer_is_what_the_service_says(certificate: Path, said: str, expected: bool) -> None:  # noqa: FBT001
    reply = Reply(200, f'{{"ip":"1.2.3.4","port":45678,"reachable":{said}}}')
    with pia_server.serving(certificate, reply) as server:
        assert ask(server.port) is expected
        (call,) = server.calls
    assert (call.method, call.target) == ("GET", "/port/45678")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, "<html>open</html>"),
        Reply(200, '{"reachable":"yes"}'),
        Reply(200, "{}"),
        Reply(503, '{"reachable":true}'),
    ],
)
def test_an_answer_that_does_not_tell_is_none(certificate: Path, reply: Reply) -> None:
    with (
        pia_server.serving(certificate, reply) as server,
        pytest.raises(errors.BadResponse, match="does not tell whether the port is open"),
    ):
        ask(server.port)
