"""A client's web interface on localhost, and the two ways in which telling it a port can fail."""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections.abc import Mapping
from typing import Any

HOST = "127.0.0.1"
_TIMEOUT = 10.0
_MOST_BYTES = 1024 * 1024


class NotYetError(Exception):
    """It did not work, and may work later."""


class GiveUpError(Exception):
    """Trying again does harm, or no good, until a person has changed something."""


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """What a client's web interface asks for; both empty where there is no Secret."""

    username: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)

    @property
    def given(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self.password)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    """With names in lower case; of cookies the last one."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", errors="replace").strip()

    @property
    def is_fine(self) -> bool:
        """Whether the status is one of success."""
        return http.HTTPStatus.OK <= self.status < http.HTTPStatus.MULTIPLE_CHOICES

    @property
    def cookie(self) -> dict[str, str]:
        """The header that sends the answer's cookie back; empty where there is none."""
        pair = self.headers.get("set-cookie", "").partition(";")[0]
        return {"Cookie": pair} if pair else {}

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the body's JSON.

        Raises:
            NotYetError: it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise NotYetError(f"the answer is no JSON (HTTP {self.status})") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Web:
    """Where the client's web interface is."""

    port: int

    def post(self, path: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Post a body.

        Raises:
            NotYetError: nobody answers.
        """
        return self._ask("POST", path, body.encode(), headers)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Get a page.

        Raises:
            NotYetError: nobody answers.
        """
        return self._ask("GET", path, None, headers)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read(_MOST_BYTES))
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise NotYetError(f"the web interface on port {self.port}: {why}") from error
        finally:
            connection.close()
