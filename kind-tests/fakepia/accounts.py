"""Accounts and tokens: who may log in, which tokens hold, and what logins there were."""

import datetime as dt
import secrets
import threading
from dataclasses import dataclass

USERNAME = "p1234567"
PASSWORD = "correct horse"

_REMEMBERED_LOGINS = 1000


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """One login: when, from which address, as whom, and how it ended."""

    time: dt.datetime
    source: str
    username: str
    result: str


class Accounts:
    """The accounts, safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passwords = {USERNAME: PASSWORD}
        self._owners: dict[str, str] = {}
        self._logins: list[LoginRecord] = []
        self._issued = 0

    @property
    def issued(self) -> int:
        """How many tokens were issued since the start or the last reset."""
        return self._issued

    @property
    def valid(self) -> int:
        """How many tokens hold."""
        return len(self._owners)

    @property
    def logins(self) -> tuple[LoginRecord, ...]:
        """The latest logins, oldest first."""
        return tuple(self._logins)

    def accept(self, username: str, password: str) -> None:
        """Let `username` log in with `password` and no other one."""
        with self._lock:
            self._passwords[username] = password

    def knows(self, username: str, password: str) -> bool:
        """Tell whether these are credentials of an account."""
        expected = self._passwords.get(username)
        return expected is not None and secrets.compare_digest(expected.encode(), password.encode())

    def issue_token(self, username: str) -> str:
        """Give a new token: 128 hexadecimal digits. Earlier ones go on to hold."""
        token = secrets.token_hex(64)
        with self._lock:
            self._owners[token] = username
            self._issued += 1
        return token

    def owner(self, token: str) -> str | None:
        """Give the account of `token`, None where it does not hold."""
        return self._owners.get(token)

    def revoke(self, token: str) -> bool:
        """Make `token` void and tell whether it held."""
        with self._lock:
            return self._owners.pop(token, None) is not None

    def revoke_all(self) -> int:
        """Make all tokens void and give their number."""
        with self._lock:
            count = len(self._owners)
            self._owners.clear()
        return count

    def record(self, login: LoginRecord) -> None:
        """Remember a login."""
        with self._lock:
            self._logins = [*self._logins, login][-_REMEMBERED_LOGINS:]

    def reset(self) -> None:
        """Accept the first credentials alone and forget the logins; tokens go on to hold."""
        with self._lock:
            self._passwords = {USERNAME: PASSWORD}
            self._logins = []
            self._issued = 0
