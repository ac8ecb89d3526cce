"""One attempt at a session: fresh keys, addKey through the node's proxy, link, proof."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from piavpn.api import names
from piavpn.gateway import decide, probe, session, tunnel
from piavpn.gateway.memory import Failure
from piavpn.gateway.session import Session
from piavpn.gateway.slots import Slot
from piavpn.net import wg
from piavpn.pia import errors, registration

REGISTRATION_SECONDS = 6.0
PROOF_SECONDS = 5.0
"""How long a new tunnel may take to its first answer."""
_PING_SECONDS = 0.5


class AttemptError(Exception):
    """The attempt came to nothing, by the server or on the way to it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TokenRejectedError(AttemptError):
    """No server will take this token."""


def make(step: decide.Register, slot: Slot) -> Session:
    """Return a session whose tunnel has answered; connections of an earlier one are forgotten.

    Raises:
        TokenRejectedError: another server is of no use, another token is.
        AttemptError: anything else.
    """
    try:
        made = _registered(step, slot)
    except errors.TokenRejected as error:
        raise TokenRejectedError(Failure(error.reason, error.message)) from error
    except errors.PiaError as error:
        raise AttemptError(Failure(error.reason, error.message)) from error
    except tunnel.FAILURES as error:
        raise AttemptError(Failure("LinkFailed", f"{slot.link}: {error}")) from error
    if not answers(made):
        message = f"{made.place} took the key and does not answer through the tunnel."
        raise AttemptError(Failure("ServerSilent", message))
    return made


def answers(made: Session) -> bool:
    """Tell whether the server answers a ping through the tunnel in good time."""
    deadline = time.monotonic() + PROOF_SECONDS
    while time.monotonic() < deadline:
        if probe.ping(made.link, made.server_vip, timeout=_PING_SECONDS):
            return True
    return False


def _registered(step: decide.Register, slot: Slot) -> Session:
    keys = wg.generate_keys()
    answer = registration.add_key(
        step.server,
        token=step.token,
        dedicated_ip=step.config.dedicated_ip,
        public_key=keys.public,
        ca_bundle=step.config.ca_bundle,
        proxy=(str(step.config.network.host_address), names.PROXY_PORT),
        timeout=REGISTRATION_SECONDS,
    )
    made = session.of(step.server, answer, slot=slot, public_key=keys.public, now=datetime.now(UTC))
    tunnel.configure(made, keys.private)
    tunnel.forget_flows(slot)
    return made
