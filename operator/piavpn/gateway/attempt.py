"""One attempt at a session: fresh keys, addKey through the node's proxy, link, proof."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from piavpn.api import names
from piavpn.gateway import decide, probe, session, tunnel
from piavpn.gateway.memory import Failure
from piavpn.gateway.reasons import Reason
from piavpn.gateway.session import Session
from piavpn.net import nft, wg
from piavpn.pia import errors, registration

REGISTRATION_SECONDS = 6.0
PROOF_SECONDS = 5.0
"""How long a new tunnel may take to its first answer."""
_PING_SECONDS = 0.5
LET_THROUGH_SECONDS = 5.0
"""How long the node agent may take to let the gateway through to servers that it was just given:
it reads the same list, and whoever is first is chance."""
_KNOCK_SECONDS = 0.2


class AttemptError(Exception):
    """The attempt came to nothing, by the server or on the way to it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TokenRejectedError(AttemptError):
    """No server will take this token."""


def make(step: decide.Register, ways: tunnel.Ways) -> Session:
    """Return a session on the candidate's slot whose tunnel has answered.

    Connections of an earlier session on that slot are forgotten; where new connections go stays
    as it is. After a failure the slot is empty.

    Raises:
        TokenRejectedError: another server is of no use, another token is.
        AttemptError: anything else.
    """
    slot = step.candidate.slot
    try:
        made = _registered(step, ways)
    except errors.TokenRejected as error:
        raise TokenRejectedError(Failure(error.reason, error.message)) from error
    except errors.PiaError as error:
        raise AttemptError(Failure(error.reason, error.message)) from error
    except (*tunnel.FAILURES, nft.NftError) as error:
        ways.close(slot)
        raise AttemptError(Failure(Reason.LINK_FAILED, f"{slot.link}: {error}")) from error
    if not answers(made):
        ways.close(slot)
        message = f"{made.place} took the key and does not answer through the tunnel."
        raise AttemptError(Failure(Reason.SERVER_SILENT, message))
    return made


def answers(made: Session) -> bool:
    """Tell whether the server answers a ping through the tunnel in good time."""
    deadline = time.monotonic() + PROOF_SECONDS
    while time.monotonic() < deadline:
        if probe.ping(made.link, made.server_vip, timeout=_PING_SECONDS):
            return True
    return False


def _registered(step: decide.Register, ways: tunnel.Ways) -> Session:
    keys = wg.generate_keys()
    server, slot = step.candidate.server, step.candidate.slot
    answer = _add_key(step, keys.public)
    made = session.of(server, answer, slot=slot, public_key=keys.public, now=datetime.now(UTC))
    ways.open(made, keys.private)
    return made


def _add_key(step: decide.Register, public_key: str) -> registration.Registration:
    deadline = time.monotonic() + LET_THROUGH_SECONDS
    while True:
        try:
            return registration.add_key(
                step.candidate.server,
                token=step.token,
                dedicated_ip=step.config.dedicated_ip,
                public_key=public_key,
                ca_bundle=step.config.ca_bundle,
                proxy=(str(step.config.network.host_address), names.PROXY_PORT),
                timeout=REGISTRATION_SECONDS,
            )
        except errors.NotLetThrough:
            if time.monotonic() > deadline:
                raise
        time.sleep(_KNOCK_SECONDS)
