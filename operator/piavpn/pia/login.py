"""An account's user name and password for a token.

Source: pia-foss/manual-connections get_token.sh. Logins are what PIA limits: a token is kept and
used until a server rejects it.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from piavpn.pia import calls, errors, https

_TOKEN = re.compile(r"[!-~]{1,1024}")
"""PIA's tokens have 128 characters; their form is PIA's business."""


@calls.counted("login")
def login(
    url: str, username: str, password: str, *, ca_bundle: str | None, timeout: float = 10.0
) -> str:
    """Return a token; `timeout` is in seconds, `ca_bundle` replaces the system's CAs.

    Raises:
        BadCredentials: the user name or the password is wrong.
        RateLimited: too many logins; wait, at least as long as it says.
        SubscriptionExpired: the account is not paid for.
        PiaError: as `https.public`, or BadResponse for an answer without a token.
    """
    form = {"username": username, "password": password}
    response = https.public(url, form=form, ca_bundle=ca_bundle, timeout=timeout)
    if refusal := _refusal(response):
        raise refusal
    token = response.json_object().get("token")
    if (
        response.status != HTTPStatus.OK
        or not isinstance(token, str)
        or not _TOKEN.fullmatch(token)
    ):
        raise errors.BadResponse(f"the login was answered with HTTP {response.status} and no token")
    return token


def _refusal(response: https.Response) -> errors.PiaError | None:
    answer = response.json_object()
    if response.status == HTTPStatus.PAYMENT_REQUIRED:
        return errors.SubscriptionExpired("the PIA subscription has expired: renew it")
    limited = answer.get("code") == "too_many_attempts"
    if limited or response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return errors.RateLimited("PIA takes no more logins for a while", _retry_after(response))
    # A wrong password is answered in plain text: "HTTP Token: Access denied."
    refused = response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    if refused or "access denied" in response.text.lower():
        return errors.BadCredentials(
            "PIA refuses the user name or the password: correct them in the credentials Secret"
        )
    return None


def _retry_after(response: https.Response) -> float | None:
    """Return the seconds of the header, or of the body's `retry_after`; None when in neither."""
    for value in (response.headers.get("retry-after"), response.json_object().get("retry_after")):
        if re.fullmatch(r"[0-9]{1,6}", str(value)):
            return float(str(value))
    return None
