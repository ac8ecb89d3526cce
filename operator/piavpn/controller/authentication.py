"""Whether PIA has given a token, and whether to ask for one now. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from piavpn.api import codec, conditions
from piavpn.api.conditions import PiaVpnCondition, Status
from piavpn.controller import model
from piavpn.controller.reasons import Reason
from piavpn.pia import errors

RELOGIN_AFTER = timedelta(minutes=15)
"""How soon a token that PIA rejected may be followed by yet another login: locked accounts get
tokens that no server takes, and logins are what PIA limits."""

USED_WITHIN = timedelta(seconds=30)
"""How soon every gateway of an account uses a new token: until then a refusal is about the one
before, whatever the clock of a gateway's node says."""


def decide(seen: model.Observed) -> tuple[model.Verdict, bool]:
    """Return the verdict, and whether to log in now."""
    if not isinstance(seen.credentials, model.Credentials):
        waiting = "waiting for the credentials Secret: see condition Accepted"
        return model.Verdict(Status.UNKNOWN, Reason.WAITING_FOR_CREDENTIALS, waiting), False
    account = seen.account
    if account is None or account.fingerprint != seen.credentials.fingerprint:
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN), True
    if account.failure is not None:
        return _failed(account.failure), model.is_due(account.failure.retry_time, seen.now)
    if not account.has_token:
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN), True
    again = relogin_time(seen)
    if again is not None and seen.now >= again:
        return model.Verdict(Status.UNKNOWN, Reason.LOGGING_IN, "PIA rejected the token"), True
    return model.Verdict(Status.TRUE, Reason.LOGGED_IN), False


def relogin_time(seen: model.Observed) -> datetime | None:
    """Return when to log in because servers refuse the token that is there; None if none does."""
    account = seen.account
    if seen.vpn is None or account is None or not account.has_token:
        return None
    if seen.dedicated.rejected is not None and seen.dedicated.rejected == account.token_time:
        return account.token_time + RELOGIN_AFTER
    kinds = [PiaVpnCondition.REGISTERED, PiaVpnCondition.PORT_FORWARDED]
    if seen.vpn.spec.dedicated_ip_secret_ref is not None:
        kinds.remove(PiaVpnCondition.REGISTERED)  # its servers are shown another token
    told = (conditions.find(seen.vpn.status.conditions, kind) for kind in kinds)
    rejected = (it for it in told if it is not None and it.reason == errors.TokenRejected.reason)
    refusal = next(rejected, None)
    if refusal is None:
        return None
    issued, since = account.token_time, refusal.last_transition_time
    if issued is None or since is None:
        return seen.now
    return issued + (USED_WITHIN if since > issued else RELOGIN_AFTER)


def _failed(failure: model.Failure) -> model.Verdict:
    message = failure.message
    if failure.reason == errors.RateLimited.reason:
        message += f": the next login is made at {codec.format_time(failure.retry_time)}"
    return model.Verdict(Status.FALSE, failure.reason, message)
