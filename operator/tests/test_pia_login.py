from __future__ import annotations

import ipaddress
import json
import urllib.parse
from pathlib import Path

import pia_server
import pytest
from cryptography import x509
from pia_server import Call, Reply

from piavpn.pia import errors, login

PATH = "/api/client/v2/token"
TOKEN = "0123456789abcdef" * 8
AUTHORITY = pia_server.Authority("A public CA")
LOCAL = x509.IPAddress(ipaddress.IPv4Address(pia_server.HOST))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return AUTHORITY.issue(tmp_path_factory.mktemp("front"), "www", names=(LOCAL,))


def log_in(port: int, password: str = "correct horse", timeout: float = 5) -> str:
    url = f"https://{pia_server.HOST}:{port}{PATH}"
    return login.login(url, "p1234567", password, ca_bundle=AUTHORITY.pem, timeout=timeout)


def refusal(certificate: Path, reply: Reply) -> errors.PiaError:
    with pia_server.serving(certificate, reply) as front, pytest.raises(errors.PiaError) as caught:
        log_in(front.port)
    return caught.value


def test_a_login_posts_the_account_as_a_form_and_returns_the_token(certificate: Path) -> None:
    with pia_server.serving(certificate, Reply(200, json.dumps({"token": TOKEN}))) as front:
        assert log_in(front.port) == TOKEN

    (call,) = front.calls
    assert (call.method, call.target) == ("POST", PATH)
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert call.body == "username=p1234567&password=correct+horse"


def test_a_password_of_any_characters_arrives_as_it_is(certificate: Path) -> None:
    password = "a&b=c%d+e;f$g\"h'i\\j ü€ 💡"
    with pia_server.serving(certificate, Reply(200, json.dumps({"token": TOKEN}))) as front:
        log_in(front.port, password)

    assert urllib.parse.parse_qs(front.calls[0].body)["password"] == [password]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, "HTTP Token: Access denied.\n"),
        Reply(200, "HTTP Token: Access denied.\n"),
        Reply(403, json.dumps({"status": "error"})),
    ],
)
def test_a_wrong_password_is_bad_credentials(certificate: Path, reply: Reply) -> None:
    error = refusal(certificate, reply)

    assert isinstance(error, errors.BadCredentials)
    assert error.message == (
        "PIA refuses the user name or the password: correct them in the credentials Secret"
    )


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (Reply(429, "", {"Retry-After": "59"}), 59.0),
        (Reply(429, '{"retry_after": 900}'), 900.0),
        (Reply(429, "<html>slow down</html>"), None),
        (Reply(429, "", {"Retry-After": "Mon, 23 Nov 2026 04:00:00 GMT"}), None),
        (Reply(200, '{"status":"error","code":"too_many_attempts"}'), None),
        (Reply(401, '{"status":"error","code":"too_many_attempts","retry_after":"60"}'), 60.0),
    ],
)
def test_too_many_logins_are_no_wrong_password(
    certificate: Path, reply: Reply, wait: float | None
) -> None:
    error = refusal(certificate, reply)

    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == wait


def test_an_unpaid_account_is_told_apart(certificate: Path) -> None:
    assert isinstance(refusal(certificate, Reply(402)), errors.SubscriptionExpired)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(403, "<!DOCTYPE html><title>Access denied | error 1020</title>"),
        Reply(200, "\n <html>Sign in to the hotel's network</html>"),
        Reply(504, "<html>504 Gateway Time-out</html>"),
        Reply(500, '{"error":"oops"}'),
    ],
)
def test_a_page_for_browsers_says_nothing_about_the_password(
    certificate: Path, reply: Reply
) -> None:
    assert isinstance(refusal(certificate, reply), errors.Unreachable)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"token": null}',
        '{"token": ""}',
        '{"token": "two words"}',
        '{"token": "a\\r\\nb"}',
        "[" * 60_000,
        b"\xff\xfe\x00",
    ],
)
def test_an_answer_without_a_token_is_a_bad_response(certificate: Path, body: str | bytes) -> None:
    assert isinstance(refusal(certificate, Reply(200, body)), errors.BadResponse)


def test_a_redirect_is_not_followed(certificate: Path) -> None:
    def reply(call: Call) -> Reply:
        return Reply(200, json.dumps({"token": TOKEN})) if call.target == "/else" else redirect

    redirect = Reply(307, "", {"Location": "/else"})
    with (
        pia_server.serving(certificate, reply) as front,
        pytest.raises(errors.Unreachable, match=r"redirects .* spec\.endpoints"),
    ):
        log_in(front.port)

    assert [call.target for call in front.calls] == [PATH]


def test_a_host_without_a_certificate_we_trust_never_sees_the_password(tmp_path: Path) -> None:
    leaf = pia_server.Authority("Another CA").issue(tmp_path, "www", names=(LOCAL,))
    with (
        pia_server.serving(leaf, Reply(200, json.dumps({"token": TOKEN}))) as front,
        pytest.raises(errors.BadCertificate, match=r"spec\.endpoints\.publicCABundle"),
    ):
        log_in(front.port)

    assert front.calls == []


def test_the_environment_changes_neither_trust_nor_way(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pia_server.serving(certificate, Reply(200, json.dumps({"token": TOKEN}))) as front:
        assert log_in(front.port) == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "http://www.privateinternetaccess.com/token",
        "www.privateinternetaccess.com",
        "https://",
        "https://[::1/token",
        "https://host:99999/token",
        "https://a..b/token",
        "https://127.0.0.1:1/with space",
        "",
    ],
)
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(errors.PiaError) as caught:
        login.login(url, "p1234567", "correct horse", ca_bundle=AUTHORITY.pem, timeout=1)

    assert type(caught.value) in (errors.InvalidEndpoint, errors.Unreachable)
    assert "correct horse" not in caught.value.message


@pytest.mark.parametrize("pem", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n", "ü"])
def test_a_bundle_without_certificate_is_named(pem: str) -> None:
    with pytest.raises(errors.InvalidEndpoint, match="publicCABundle"):
        login.login("https://127.0.0.1:1/", "p", "w", ca_bundle=pem)
