"""The Secret with an account's token: what a login leaves behind, and what outlives a restart.

Its layout is known here alone. It never holds the password.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from piavpn.api import codec, names, piavpns
from piavpn.controller import model
from piavpn.controller.reasons import Reason
from piavpn.pia import errors

LABEL = f"{names.GROUP}/account"
"""On the Secret: tells it from others, for its removal with the last PiaVpn that used it."""

_COUNT = re.compile(r"[0-9]{1,6}")


def read_credentials(
    ref: piavpns.CredentialsSecretRef, namespace: str, secret: model.Object | None
) -> model.Credentials | model.CredentialsProblem:
    """Return the user name and password, or what is wrong with their Secret."""
    if secret is None:
        return model.CredentialsProblem(
            Reason.CREDENTIALS_NOT_FOUND,
            f"there is no Secret {ref.name} in namespace {namespace}: create it with kubectl "
            f"create secret generic {ref.name} -n {namespace} --from-literal="
            f"{ref.username_key}=... --from-literal={ref.password_key}=...",
        )
    data = _decoded(secret)
    username = data.get(ref.username_key, "").strip()
    password = data.get(ref.password_key, "").rstrip("\r\n")
    wanted = {ref.username_key: username, ref.password_key: password}
    missing = [key for key, value in wanted.items() if not value]
    if missing:
        return model.CredentialsProblem(
            Reason.CREDENTIALS_INCOMPLETE,
            f"Secret {ref.name} in namespace {namespace} has no {' and no '.join(missing)}: add "
            "it, or name its key in spec.credentialsSecretRef",
        )
    return model.Credentials(
        username,
        password,
        fingerprint=_digest(secret["metadata"].get("uid", ""), username, password),
        login=_digest(username, password),
        account=_digest(username),
    )


def read_dedicated_token(
    ref: piavpns.DedicatedIpSecretRef, namespace: str, secret: model.Object | None
) -> str | model.CredentialsProblem:
    """Return the token of a dedicated IP, or what is wrong with its Secret."""
    token = _decoded(secret).get(ref.key, "").strip() if secret is not None else ""
    if token:
        return token
    missing = f"has no {ref.key}" if secret is not None else "is not there"
    return model.CredentialsProblem(
        Reason.DEDICATED_IP_TOKEN_NOT_FOUND,
        f"Secret {ref.name} in namespace {namespace} {missing}: create it with kubectl create "
        f"secret generic {ref.name} -n {namespace} --from-literal={ref.key}=...",
    )


def read(secret: model.Object | None) -> model.Account | None:
    """Return the account as its Secret has it."""
    if secret is None:
        return None
    data = _decoded(secret)
    return model.Account(
        fingerprint=data.get("fingerprint", ""),
        has_token=bool(data.get("token")),
        token_time=_time(data, "tokenTime"),
        failure=_failure(data),
        failures=_count(data, "failures"),
        login=data.get("login", ""),
        account=data.get("account", ""),
    )


def read_token(secret: model.Object | None) -> str | None:
    """Return the token itself."""
    return _decoded(secret).get("token") if secret is not None else None


def is_limited(secret: model.Object, now: datetime) -> bool:
    """Tell whether PIA takes no login of this account yet: not to be forgotten until it does."""
    known = read(secret)
    failure = known.failure if known is not None else None
    limited = failure is not None and failure.reason == errors.RateLimited.reason
    return limited and failure is not None and not model.is_due(failure.retry_time, now)


def shared(
    credentials: model.Credentials,
    own: model.Object | None,
    others: Iterable[model.Object],
    now: datetime,
) -> tuple[model.Account, str | None] | None:
    """Return what an earlier login with this user name and password came to, if it still counts.

    That is a token that another Secret got, other and newer than the own one, which was rejected;
    or PIA's refusal to take more logins. Two Secrets of one account are one account to PIA.

    Args:
        credentials: those that are to log in.
        own: the Secret that the login would be kept in.
        others: the other accounts' Secrets.
        now: refusals until then are over.
    """
    mine, my_token = read(own), read_token(own)
    for other in others:
        known, token = read(other), read_token(other)
        if known is None or known.login != credentials.login or not token:
            continue
        if known.failure is None and token != my_token and _newer(known, mine):
            return _as_own(known, credentials, failure=None), token
    for each in (own, *others):
        known = read(each)
        if known is None or known.login != credentials.login:
            continue
        if each is not None and is_limited(each, now):
            kept = _kept(mine, credentials)
            token = my_token if kept.has_token else None
            return _as_own(kept, credentials, failure=known.failure), token
    return None


def after_failure(
    credentials: model.Credentials, own: model.Object | None, failure: model.Failure
) -> tuple[model.Account, str | None]:
    """Return the account with this failure, and the token that these credentials got before."""
    kept = _kept(read(own), credentials)
    token = read_token(own) if kept.has_token else None
    counted = dataclasses.replace(kept, failures=kept.failures + 1)
    return _as_own(counted, credentials, failure=failure), token


def failures(credentials: model.Credentials, own: model.Object | None) -> int:
    """Return how many logins in a row have failed with these very credentials."""
    return _kept(read(own), credentials).failures


def after_login(credentials: model.Credentials, now: datetime) -> model.Account:
    """Return the account that has a token since `now`."""
    fresh = model.Account(credentials.fingerprint, has_token=True, token_time=now)
    return _as_own(fresh, credentials, failure=None)


def secret(  # the whole Secret, of a login that went well or not
    name: str,
    namespace: str,
    account: model.Account,
    token: str | None,
) -> model.Object:
    """Return the Secret that holds `account` and its token."""
    told = {
        "fingerprint": account.fingerprint,
        "login": account.login,
        "account": account.account,
    }
    text = {key: value for key, value in told.items() if value}
    if token is not None:
        text["token"] = token
    if account.token_time is not None:
        text["tokenTime"] = codec.format_time(account.token_time)
    if account.failure is not None:
        text["failureReason"] = account.failure.reason
        text["failureMessage"] = account.failure.message
        text["retryTime"] = codec.format_time(account.failure.retry_time)
    if account.failures:
        text["failures"] = str(account.failures)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: "true"}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in text.items()},
    }


def _decoded(secret_: model.Object) -> dict[str, str]:
    data: Mapping[str, str] = secret_.get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _newer(known: model.Account, mine: model.Account | None) -> bool:
    if mine is None or not mine.has_token or mine.token_time is None:
        return True
    return known.token_time is not None and known.token_time > mine.token_time


def _kept(mine: model.Account | None, credentials: model.Credentials) -> model.Account:
    """Return what these very credentials came to before."""
    if mine is not None and mine.fingerprint == credentials.fingerprint:
        return mine
    return model.Account(credentials.fingerprint, has_token=False)


def _as_own(
    account: model.Account, credentials: model.Credentials, *, failure: model.Failure | None
) -> model.Account:
    return dataclasses.replace(
        account,
        fingerprint=credentials.fingerprint,
        failure=failure,
        login=credentials.login,
        account=credentials.account,
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _failure(data: Mapping[str, str]) -> model.Failure | None:
    retry_time = _time(data, "retryTime")
    if retry_time is None or not data.get("failureReason"):
        return None
    return model.Failure(data["failureReason"], data.get("failureMessage", ""), retry_time)


def _count(data: Mapping[str, str], key: str) -> int:
    found = data.get(key, "")
    return int(found) if _COUNT.fullmatch(found) else 0


def _time(data: Mapping[str, str], key: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(data[key])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None
