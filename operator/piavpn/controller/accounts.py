"""The Secret with an account's token: what a login leaves behind, and what outlives a restart.

Its layout is known here alone. It never holds the password.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime

from piavpn.api import codec, names, types
from piavpn.controller import model
from piavpn.controller.reasons import Reason

LABEL = f"{names.GROUP}/account"
"""On the Secret: tells it from others, for its removal with the last PiaVpn that used it."""


def read_credentials(
    ref: types.CredentialsSecretRef, namespace: str, secret: model.Object | None
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
    text = "\0".join((secret["metadata"].get("uid", ""), username, password))
    return model.Credentials(username, password, hashlib.sha256(text.encode()).hexdigest())


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
    )


def read_token(secret: model.Object | None) -> str | None:
    """Return the token itself."""
    return _decoded(secret).get("token") if secret is not None else None


def secret(  # the whole Secret, of a login that went well or not
    name: str,
    namespace: str,
    account: model.Account,
    token: str | None,
) -> model.Object:
    """Return the Secret that holds `account` and its token."""
    text = {"fingerprint": account.fingerprint}
    if token is not None:
        text["token"] = token
    if account.token_time is not None:
        text["tokenTime"] = codec.format_time(account.token_time)
    if account.failure is not None:
        text["failureReason"] = account.failure.reason
        text["failureMessage"] = account.failure.message
        text["retryTime"] = codec.format_time(account.failure.retry_time)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: "true"}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in text.items()},
    }


def _decoded(secret_: model.Object) -> dict[str, str]:
    data: Mapping[str, str] = secret_.get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _failure(data: Mapping[str, str]) -> model.Failure | None:
    retry_time = _time(data, "retryTime")
    if retry_time is None or not data.get("failureReason"):
        return None
    return model.Failure(data["failureReason"], data.get("failureMessage", ""), retry_time)


def _time(data: Mapping[str, str], key: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(data[key])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None
