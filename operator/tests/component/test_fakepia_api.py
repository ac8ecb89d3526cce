"""The stand-in speaks PIA's protocol: seen by curl and openssl, as PIA's own scripts use them."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import fakepia_world
import namespaces
import pytest
from fakepia_computer import PASSWORD, USERNAME, Computer
from fakepia_world import FakePia

from fakepia import client, world

TOKEN = "/api/client/v2/token"
LIST = "/vpninfo/servers/v6"
PUBLIC_KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


@pytest.fixture(scope="module")
def running() -> Iterator[FakePia]:
    with fakepia_world.running() as pia:
        yield pia


@pytest.fixture
def pia(running: FakePia) -> FakePia:
    running.control.reset()
    return running


@pytest.fixture
def computer(
    pia: FakePia,
    new_namespace: Callable[[str], namespaces.Namespace],
    tmp_path: pathlib.Path,
) -> Computer:
    return Computer.attached(pia, new_namespace("pc"), tmp_path)


@pytest.mark.parametrize(
    "form",
    [
        ["--data-urlencode", f"username={USERNAME}", "--data-urlencode", f"password={PASSWORD}"],
        ["--form", f"username={USERNAME}", "--form", f"password={PASSWORD}"],
        ["--json", json.dumps({"username": USERNAME, "password": PASSWORD})],
    ],
    ids=["urlencoded", "multipart", "json"],
)
def test_credentials_are_taken_in_each_form_in_use(
    pia: FakePia, computer: Computer, form: list[str]
) -> None:
    answer = computer.website(TOKEN, *form)
    assert answer.http_status == 200
    token = answer.json()["token"]
    assert len(bytes.fromhex(token)) == 64
    (login,) = pia.control.state().logins
    assert (login.username, login.source, login.result) == (USERNAME, computer.address, "issued")


def test_wrong_credentials_are_denied_in_plain_text(computer: Computer) -> None:
    answer = computer.website(TOKEN, "-d", f"username={USERNAME}", "-d", "password=wrong")
    assert (answer.http_status, answer.body) == (401, "HTTP Token: Access denied.\n")


def test_a_changed_password_is_taken_and_the_former_one_is_not(
    pia: FakePia, computer: Computer
) -> None:
    pia.control.accept_credentials(USERNAME, "new")
    former = computer.website(TOKEN, "--form", f"username={USERNAME}", "--form", "password=x")
    new = computer.website(TOKEN, "--form", f"username={USERNAME}", "--form", "password=new")
    assert (former.http_status, new.http_status) == (401, 200)


def test_too_many_logins_are_told_to_try_again_later(pia: FakePia, computer: Computer) -> None:
    pia.control.fail({"login": "rate_limited", "retryAfterSeconds": 90})
    answer = computer.website(TOKEN, "--form", f"username={USERNAME}", "--include")
    assert answer.http_status == 429
    assert "\nRetry-After: 90\n" in answer.body
    assert '"code": "too_many_attempts"' in answer.body


def test_an_expired_token_is_no_good_any_more(computer: Computer) -> None:
    token = computer.token()
    header = ("--header", f"Authorization: Token {token}")
    answer = computer.website("/api/client/v2/expire_token", "--request", "POST", *header)
    assert answer.json() == {"status": "success"}
    refused = computer.add_key(world.ZURICH401, token, PUBLIC_KEY)
    assert refused.json() == {"status": "ERROR", "message": "Login failed!"}


def dedicated_ip(computer: Computer, token: str) -> dict[str, object]:
    answer = computer.website(
        "/api/client/v2/dedicated_ip",
        *("--header", f"Authorization: Token {token}"),
        *("--data", '{"tokens": ["DIP20261123"]}'),
    )
    (only,) = json.loads(answer.body)
    return dict(only)


def test_a_dedicated_ip_is_at_one_server_and_registers_there_by_its_own_token(
    pia: FakePia, computer: Computer
) -> None:
    told = dedicated_ip(computer, computer.token())
    assert (told["status"], told["ip"], told["cn"]) == ("active", "198.18.13.1", "frankfurt401")
    for user, status in (("dedicated_ip_DIP20261123", "OK"), ("dedicated_ip_DIP1", "ERROR")):
        answer = computer.curl(
            *("--get", "--cacert", "servers.pem", "--user", f"{user}:198.18.13.1"),
            *("--connect-to", "frankfurt401::198.18.13.1:"),
            *("--data-urlencode", f"pubkey={PUBLIC_KEY}", "https://frankfurt401:1337/addKey"),
        )
        assert answer.json()["status"] == status
    pia.control.fail({"dedicatedIP": "expired"})
    assert dedicated_ip(computer, computer.token())["status"] == "expired"


def test_the_list_is_one_line_of_json_and_its_signature(pia: FakePia, computer: Computer) -> None:
    body, empty, *signature = computer.website(LIST).body.split("\n")
    assert empty == ""
    assert [len(line) for line in signature] == [60, 60, 60, 60, 60, 44]
    assert _is_signed(computer.folder, pia.endpoints.server_list_public_key, body, signature)
    regions = {region["id"]: region for region in json.loads(body)["regions"]}
    assert list(regions) == [
        *("swiss", "nl_amsterdam", "de-frankfurt", "us_chicago", "panama", "liechtenstein")
    ]
    assert regions["nl_amsterdam"]["servers"]["wg"] == [
        {"ip": "198.18.12.1", "cn": "Server-12399-1a"},
        {"ip": "198.18.12.2", "cn": "amsterdam402"},
    ]
    assert [id_ for id_, region in regions.items() if not region["port_forward"]] == ["us_chicago"]
    assert [id_ for id_, one in regions.items() if one["geo"]] == ["panama", "liechtenstein"]


def test_a_list_can_be_wrongly_signed_or_lack_a_region(pia: FakePia, computer: Computer) -> None:
    pia.control.fail({"list": "bad_signature"})
    body, _, *signature = computer.website(LIST).body.split("\n")
    assert not _is_signed(computer.folder, pia.endpoints.server_list_public_key, body, signature)
    pia.control.fail({"list": "missing_region:swiss"})
    body, _, *signature = computer.website(LIST).body.split("\n")
    assert _is_signed(computer.folder, pia.endpoints.server_list_public_key, body, signature)
    assert "swiss" not in [region["id"] for region in json.loads(body)["regions"]]


def test_a_registration_tells_all_that_a_tunnel_needs(computer: Computer) -> None:
    answer = computer.add_key(world.ZURICH401, computer.token(), PUBLIC_KEY)
    told = answer.json()
    server_key = told.pop("server_key")
    assert len(base64.b64decode(server_key)) == 32
    assert told.pop("peer_ip").startswith("10.5.1.")
    assert told == {
        "status": "OK",
        "server_port": 1337,
        "server_ip": "198.18.11.1",
        "server_vip": "10.5.128.1",
        "peer_pubkey": PUBLIC_KEY,
        "dns_servers": ["10.0.0.243", "10.0.0.242"],
    }


@pytest.mark.parametrize(
    ("server", "status"), [(world.ZURICH401, 200), (world.SERVER_12399_1A, 401)]
)
def test_a_void_token_is_told_login_failed_whatever_the_status(
    pia: FakePia, computer: Computer, server: world.Server, status: int
) -> None:
    token = computer.token()
    assert pia.control.revoke_tokens() >= 1
    answer = computer.add_key(server, token, PUBLIC_KEY)
    assert answer.http_status == status
    assert answer.json() == {"status": "ERROR", "message": "Login failed!"}
    (call,) = pia.control.state().servers[server.cn].add_key_calls
    assert (call.source, call.result) == (computer.address, "login_failed")


@pytest.mark.parametrize(
    ("failure", "exit_status", "http_status"),
    [
        ("refuse", 7, 0),
        ("hang", 28, 0),
        ("wrong_cn", 60, 0),
        ("expired_cert", 60, 0),
        ("http_500", 0, 500),
        ("login_failed", 0, 200),
    ],
)
def test_a_registration_can_fail_at_one_server(
    pia: FakePia, computer: Computer, failure: str, exit_status: int, http_status: int
) -> None:
    token = computer.token()
    with pia.control.failing({"addKey": {"zurich401": failure}}):
        failed = computer.add_key(world.ZURICH401, token, PUBLIC_KEY, seconds=2)
        other = computer.add_key(world.AMSTERDAM402, token, PUBLIC_KEY)
    assert (failed.exit_status, failed.http_status) == (exit_status, http_status)
    assert other.json()["status"] == "OK"
    assert computer.add_key(world.ZURICH401, token, PUBLIC_KEY).json()["status"] == "OK"


def test_the_servers_certificates_have_the_flaws_of_pias(computer: Computer) -> None:
    old = _certificate(computer, world.ZURICH401)
    new = _certificate(computer, world.SERVER_12399_1A)
    assert "Subject Alternative Name" not in old
    assert "DNS:Server-12399-1a" in new
    verify = f"openssl verify -CAfile {computer.folder}/servers.pem"
    (computer.folder / "leaf.pem").write_text(new)
    assert "OK" in computer.namespace.run(f"{verify} {computer.folder}/leaf.pem")
    strict = f"{verify} -x509_strict {computer.folder}/leaf.pem 2>&1"
    refusal = computer.namespace.run(strict, check=False)
    assert "Basic Constraints of CA cert not marked critical" in refusal
    assert "CA cert does not include key usage extension" in refusal


def test_a_server_called_by_another_name_shows_another_certificate(computer: Computer) -> None:
    named = _certificate(computer, world.ZURICH401, name="zurich.privacy.network")
    assert "CN = *.privacy.network" in named


def test_an_unknown_failure_is_refused_and_changes_nothing(pia: FakePia) -> None:
    with pytest.raises(client.ControlError, match="no server is called 'zurich'"):
        pia.control.fail({"login": "denied", "addKey": {"zurich": "hang"}})
    assert pia.control.call("GET", "/fail") == {}


def _is_signed(folder: pathlib.Path, key: str, body: str, signature: list[str]) -> bool:
    namespaces.tool("openssl")
    (folder / "key.pem").write_text(key)
    (folder / "body").write_text(body)
    (folder / "signature").write_bytes(base64.b64decode("".join(signature)))
    verified = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "body"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return verified.returncode == 0


def _certificate(computer: Computer, server: world.Server, *, name: str | None = None) -> str:
    return computer.namespace.run(
        f"openssl s_client -connect {server.address}:1337 -servername {name or server.cn}"
        " </dev/null 2>/dev/null | openssl x509 -subject -ext subjectAltName 2>&1"
    )
