"""Which server a dedicated IP is at, as PIA answers it."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pia_server
import pytest
from cryptography import x509
from pia_server import Reply

from piavpn.pia import dedicated, errors

AUTHORITY = pia_server.Authority("A public CA")
LOCAL = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))
PATH = "/api/client/v2/dedicated_ip"
ANSWER = {
    "id": "de-frankfurt",
    "dip_token": "DIP0123",
    "dip_expire": 1798761600,
    "groups": ["ovpntcp", "wg"],
    "ip": "198.18.13.9",
    "cn": "frankfurt412",
    "status": "active",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return AUTHORITY.issue(tmp_path_factory.mktemp("front"), "www", names=(LOCAL,))


def look_up(port: int) -> dedicated.DedicatedIp:
    url = f"https://{pia_server.HOST}:{port}{PATH}"
    return dedicated.look_up(
        url, token="account-token", dedicated_token="DIP0123", ca_bundle=AUTHORITY.pem, timeout=5
    )


def found(certificate: Path, *answers: Any) -> dedicated.DedicatedIp:
    with pia_server.serving(certificate, Reply(200, json.dumps(answers))) as front:
        return look_up(front.port)


def test_a_dedicated_ip_is_asked_for_with_the_account_s_token(certificate: Path) -> None:
    with pia_server.serving(certificate, Reply(200, json.dumps([ANSWER]))) as front:
        assert look_up(front.port) == dedicated.DedicatedIp(
            status="active",
            region="de-frankfurt",
            cn="frankfurt412",
            address=ipaddress.IPv4Address("198.18.13.9"),
            expires=datetime(2027, 1, 1, tzinfo=UTC),
        )

    (call,) = front.calls
    assert (call.method, call.target) == ("POST", PATH)
    assert call.headers["authorization"] == "Token account-token"
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == {"tokens": ["DIP0123"]}


@pytest.mark.parametrize("status", ["expired", "invalid", "error"])
def test_one_that_is_no_more_is_told_by_its_status(certificate: Path, status: str) -> None:
    answer = {"dip_token": "DIP0123", "status": status}
    assert found(certificate, answer) == dedicated.DedicatedIp(status)


def test_others_in_the_answer_are_passed_over(certificate: Path) -> None:
    other = ANSWER | {"dip_token": "DIP9999", "cn": "elsewhere"}
    assert found(certificate, other, ANSWER).cn == "frankfurt412"


@pytest.mark.parametrize("reply", [Reply(401, ""), Reply(200, "HTTP Token: Access denied.\n")])
def test_an_account_s_token_that_holds_no_more_is_told(certificate: Path, reply: Reply) -> None:
    with pia_server.serving(certificate, reply) as front, pytest.raises(errors.TokenRejected):
        look_up(front.port)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "[1]",
        json.dumps([ANSWER | {"ip": "nowhere"}]),
        json.dumps([{"dip_token": "DIP0123"}]),
        json.dumps([ANSWER | {"dip_expire": 10**30}]),
    ],
)
def test_any_other_answer_makes_no_sense_and_repeats_no_token(certificate: Path, body: str) -> None:
    with (
        pia_server.serving(certificate, Reply(200, body)) as front,
        pytest.raises(errors.BadResponse) as caught,
    ):
        look_up(front.port)
    assert "DIP" not in caught.value.message
