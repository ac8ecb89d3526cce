"""What PIA said of dedicated IPs, in memory. The gateways' ConfigMaps outlive the operator."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import threading
from datetime import UTC, datetime, timedelta

from piavpn import logs
from piavpn.api import piavpns
from piavpn.controller import model
from piavpn.pia import dedicated, errors

log = logging.getLogger(__name__)

_REFRESH = timedelta(hours=6)
_RETRY = timedelta(seconds=30)
_SELDOM = timedelta(minutes=15)
"""After an answer that only the holder of the dedicated IP or of the account can change."""


class DedicatedIps:
    """Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[tuple[piavpns.Endpoints, str], model.DedicatedState] = {}

    def state(self, endpoints: piavpns.Endpoints, dedicated_token: str) -> model.DedicatedState:
        """Return what is known now."""
        with self._lock:
            return self._states.get(_key(endpoints, dedicated_token), model.DedicatedState())

    def refresh(
        self,
        endpoints: piavpns.Endpoints,
        dedicated_token: str,
        *,
        token: str,
        issued: datetime | None,
    ) -> None:
        """Ask PIA with the account's token, which was issued then, and keep what came of it."""
        before = self.state(endpoints, dedicated_token)
        try:
            found = dedicated.look_up(
                endpoints.dedicated_ip_url,
                token=token,
                dedicated_token=dedicated_token,
                ca_bundle=endpoints.public_ca_bundle,
            )
        except errors.PiaError as error:
            log.warning("dedicated IP: %s", error.message, extra=logs.why(error.reason))
            rejected = isinstance(error, errors.TokenRejected)
            failure = model.Failure(error.reason, error.message, datetime.now(UTC) + _RETRY)
            state = dataclasses.replace(
                before, failure=failure, rejected=issued if rejected else None
            )
        else:
            pause = _REFRESH if found.status == dedicated.ACTIVE else _SELDOM
            state = model.DedicatedState(found, refresh_time=datetime.now(UTC) + pause)
        with self._lock:
            self._states[_key(endpoints, dedicated_token)] = state


def _key(endpoints: piavpns.Endpoints, dedicated_token: str) -> tuple[piavpns.Endpoints, str]:
    return endpoints, hashlib.sha256(dedicated_token.encode()).hexdigest()
