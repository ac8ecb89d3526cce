from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from piavpn import health


@pytest.fixture
def base() -> Iterator[str]:
    server = health.serve("127.0.0.1", 0, {"/livez": lambda: True, "/readyz": lambda: False})
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_check_that_holds_answers_200(base: str) -> None:
    assert status(f"{base}/livez") == 200


def test_a_check_that_fails_answers_503(base: str) -> None:
    assert status(f"{base}/readyz") == 503


def test_a_page_is_served_beside_the_checks() -> None:
    pages = {"/metrics": lambda: ("text/x-page", b"a page\n")}
    server = health.serve("127.0.0.1", 0, {"/livez": lambda: True}, pages)
    base = f"http://127.0.0.1:{server.server_port}"
    with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:
        assert (answer.headers["Content-Type"], answer.read()) == ("text/x-page", b"a page\n")
    assert status(f"{base}/livez") == 200
    server.shutdown()
    server.server_close()


def test_an_unknown_path_answers_404(base: str) -> None:
    assert status(f"{base}/") == 404
