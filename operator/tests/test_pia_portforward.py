"""PIA's port forwarding API, as the gateway calls it, over real HTTPS."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pia_server
import pytest
from pia_server import Call, Reply

from piavpn.pia import errors, portforward

AUTHORITY = pia_server.Authority("Private Internet Access")
CN = "zurich401"
TOKEN = "to+ken/=&"
DOCUMENT = {"token": "t", "port": 45678, "expires_at": "2027-01-24T06:07:08.123456789Z"}
# Spaces and all: what PIA signed is what goes back.
PAYLOAD = base64.b64encode(b' {"port": 45678, ' + json.dumps(DOCUMENT)[1:].encode()).decode()
SIGNATURE = base64.b64encode(b"\xfb\xff\xfe signed").decode()
SIGNED = portforward.SignedPort(
    PAYLOAD, SIGNATURE, 45678, datetime(2027, 1, 24, 6, 7, 8, 123456, tzinfo=UTC)
)
GIVEN = {"status": "OK", "payload": PAYLOAD, "signature": SIGNATURE}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return AUTHORITY.issue(tmp_path_factory.mktemp("server"), CN)


def api(port: int, link: str = "lo") -> portforward.Api:
    vip = ipaddress.IPv4Address(pia_server.HOST)
    return portforward.Api(CN, vip, link, AUTHORITY.pem, port=port)


def sign(port: int) -> portforward.SignedPort:
    return api(port).sign(TOKEN, timeout=5)


def bind(port: int) -> None:
    api(port).bind(SIGNED, timeout=5)


def given(**changes: Any) -> Reply:
    return Reply(200, json.dumps(GIVEN | changes))


def refusal(
    certificate: Path, answer: Reply, call: Callable[[int], object]
) -> type[errors.PiaError]:
    with (
        pia_server.serving(certificate, answer) as server,
        pytest.raises(errors.PiaError) as caught,
    ):
        call(server.port)
    for secret in (TOKEN, PAYLOAD, SIGNATURE):
        assert secret not in str(caught.value)
    return type(caught.value)


def asked(call: Call) -> tuple[str, dict[str, list[str]]]:
    path, _, query = call.target.partition("?")
    return path, urllib.parse.parse_qs(query)


def test_a_signature_is_asked_for_with_the_token_and_read_with_nine_digits(
    certificate: Path,
) -> None:
    with pia_server.serving(certificate, given()) as server:
        assert sign(server.port) == SIGNED

    (call,) = server.calls
    assert asked(call) == ("/getSignature", {"token": [TOKEN]})
    assert server.names_asked_for == [CN]


@pytest.mark.parametrize("message", ["port scheduled for add", "timer refreshed"])
def test_payload_and_signature_are_sent_back_as_they_came(certificate: Path, message: str) -> None:
    answer = Reply(200, json.dumps({"status": "OK", "message": message}))
    with pia_server.serving(certificate, answer) as server:
        bind(server.port)

    (call,) = server.calls
    assert asked(call) == ("/bindPort", {"payload": [PAYLOAD], "signature": [SIGNATURE]})


def error(message: str, status: int = 200) -> Reply:
    return Reply(status, json.dumps({"status": "ERROR", "message": message}))


@pytest.mark.parametrize("call", [sign, bind])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error("Unauthorized client", 401), errors.Unauthorized),
        (Reply(502, "<html>Bad Gateway</html>"), errors.Unreachable),
        (Reply(504, "<html>Gateway Time-out</html>"), errors.Unreachable),
        (Reply(200, "<html>"), errors.BadResponse),
        (Reply(404, "404 page not found"), errors.BadResponse),
    ],
)
def test_what_goes_wrong_with_either_call_is_told_apart(
    certificate: Path,
    call: Callable[[int], object],
    answer: Reply,
    expected: type[errors.PiaError],
) -> None:
    assert refusal(certificate, answer, call) is expected


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("message", ["no auth data", "Login failed!"])
def test_a_token_that_is_not_taken_is_told(certificate: Path, message: str, status: int) -> None:
    assert refusal(certificate, error(message, status), sign) is errors.TokenRejected


def test_a_busy_port_is_told(certificate: Path) -> None:
    document = {"status": "", "message": "Port 45678 is busy. Please use another server"}
    answer = Reply(409, json.dumps(document))
    assert refusal(certificate, answer, bind) is errors.PortBusy


def test_a_signature_that_is_not_taken_is_told(certificate: Path) -> None:
    for message in ("the signature has expired", "Login failed!"):
        assert refusal(certificate, error(message), bind) is errors.SignatureRejected


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": "not base64"},
        {"payload": base64.b64encode(b"[]").decode()},
        {"payload": base64.b64encode(b"{}").decode()},
        {"payload": base64.b64encode(b"\xff{}").decode()},
        {"payload": base64.b64encode(json.dumps(DOCUMENT | {"port": 0}).encode()).decode()},
        {"payload": base64.b64encode(json.dumps(DOCUMENT | {"port": "1"}).encode()).decode()},
        {"payload": base64.b64encode(json.dumps(DOCUMENT | {"expires_at": 7}).encode()).decode()},
        {
            "payload": base64.b64encode(
                json.dumps(DOCUMENT | {"expires_at": "2027-01-24T06:07:08"}).encode()
            ).decode()
        },
        {"payload": None},
        {"signature": None},
    ],
)
def test_a_port_that_cannot_be_read_is_no_port(
    certificate: Path, changes: dict[str, str | None]
) -> None:
    assert refusal(certificate, given(**changes), sign) is errors.BadResponse


def test_a_server_without_the_api_refuses_connections() -> None:
    with socket.create_server((pia_server.HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.PortForwardingNotOffered, match=r"spec\.serverLocation"):
        sign(port)


def test_a_server_that_hangs_is_unreachable(certificate: Path) -> None:
    def hang(_call: Call) -> Reply:
        server.stopping.wait()
        return Reply(200)

    with (
        pia_server.serving(certificate, hang) as server,
        pytest.raises(errors.Unreachable, match="no answer within 1 s"),
    ):
        api(server.port).bind(SIGNED, timeout=1)


def test_another_servers_certificate_is_refused(tmp_path: Path) -> None:
    other = AUTHORITY.issue(tmp_path, "zurich402")
    assert refusal(other, given(), sign) is errors.BadCertificate


def test_no_other_link_than_the_tunnels_is_used(certificate: Path) -> None:
    with (
        pia_server.serving(certificate, given()) as server,
        pytest.raises(errors.Unreachable, match="No such device"),
    ):
        api(server.port, link="piaw9").sign(TOKEN, timeout=5)
    assert server.calls == []


def test_what_is_secret_of_a_port_is_not_shown() -> None:
    assert PAYLOAD not in repr(SIGNED)
    assert SIGNATURE not in repr(SIGNED)
