"""Calls to PIA, run beside the passes: a slow answer for one VPN holds up no other.

Each leaves its result where the next pass observes it (the account's Secret, the list's memory) and
wakes that pass. One errand of a kind at a time: one login per account, however many gateways.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

from piavpn import kube, logs
from piavpn.api import names, piavpns
from piavpn.controller import accounts, dedicatedips, model, serverlists, settings
from piavpn.pia import errors, login

log = logging.getLogger(__name__)

_WORKERS = 4
_LOCKOUT = timedelta(minutes=15)
"""PIA's lockouts last 15 minutes or more; asking again prolongs them."""
_RETRY = timedelta(seconds=15)
_LONGEST_RETRY = timedelta(minutes=15)
_MOST_DOUBLINGS = 10
_PAUSE_SECONDS = 60.0
"""After an errand whose result could not be kept: PIA must not hear of our own trouble."""


class Errands:
    """Runs what decisions ask of PIA."""

    def __init__(
        self,
        cluster: kube.Cluster,
        operator: settings.Settings,
        lists: serverlists.ServerLists,
        dedicated: dedicatedips.DedicatedIps,
        wake: Callable[[str, float], None],
    ) -> None:
        self._cluster = cluster
        self._settings = operator
        self._lists = lists
        self._dedicated = dedicated
        self._wake = wake
        self._pool = futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="errand")
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, set[str]] = {}  # by what is under way: who wants it
        self._paused_until: dict[Hashable, float] = {}

    def start(self, vpn: piavpns.PiaVpn, seen: model.Observed, wanted: model.Errands) -> None:
        """Start what is wanted and not already under way; returns at once."""
        endpoints = vpn.spec.endpoints
        if wanted.login and isinstance(seen.credentials, model.Credentials):
            credentials = seen.credentials
            self._once(
                ("login", credentials.account),
                vpn.name,
                lambda: self._login(vpn, credentials, seen),
            )
        if wanted.fetch_list:
            measure = vpn.spec.server_location == piavpns.AUTO_LOCATION
            key = ("list", endpoints)
            known = seen.server_list
            self._once(key, vpn.name, lambda: self._fetch(endpoints, known, measure=measure))
        elif wanted.measure:
            self._once(("list", endpoints), vpn.name, lambda: self._lists.measure(endpoints))

        if wanted.look_up and isinstance(seen.dedicated_token, str):
            dip = seen.dedicated_token
            self._once(("dedicated", endpoints, dip), vpn.name, lambda: self._look_up(vpn, dip))

    def close(self) -> None:
        """Start nothing more; what is under way ends with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _once(self, key: Hashable, vpn: str, errand: Callable[[], None]) -> None:
        with self._lock:
            if key in self._waiting:
                self._waiting[key].add(vpn)
                return
            pause = self._paused_until.get(key, 0.0) - time.monotonic()
            if pause <= 0:
                self._waiting[key] = {vpn}
        if pause > 0:
            self._wake(vpn, pause)
        else:
            self._pool.submit(self._run, key, vpn, errand)

    def _run(self, key: Hashable, vpn: str, errand: Callable[[], None]) -> None:
        pause = _PAUSE_SECONDS
        try:
            errand()
            pause = 0.0
        except kube.KubeError as error:
            log.warning("%s", error, extra=logs.about("PiaVpn", vpn))
        except Exception:
            log.exception("an errand failed unexpectedly", extra=logs.about("PiaVpn", vpn))
        finally:
            with self._lock:
                self._paused_until[key] = time.monotonic() + pause
                waiting = self._waiting.pop(key)
            for name in waiting:
                self._wake(name, pause)

    def _fetch(
        self, endpoints: piavpns.Endpoints, known: model.ServerListState, *, measure: bool
    ) -> None:
        if self._lists.state(endpoints) == known:  # else a fetch ended after the look
            self._lists.refresh(endpoints, measure=measure)

    def _login(
        self, vpn: piavpns.PiaVpn, credentials: model.Credentials, seen: model.Observed
    ) -> None:
        endpoints = vpn.spec.endpoints
        name = vpn.spec.credentials_secret_ref.account_name
        own, others = self._accounts(name)
        if accounts.read(own) != seen.account:
            return  # a login ended between the look and the decision
        if shared := accounts.shared(credentials, own, others, _now()):
            log.info(
                "another Secret of the account has logged in already",
                extra=logs.about("PiaVpn", vpn.name),
            )
            self._record(name, *shared)
            return
        begun = time.monotonic()

        def about(reason: str) -> dict[str, Any]:
            seconds = time.monotonic() - begun
            return logs.about("PiaVpn", vpn.name, reason=reason, seconds=seconds)

        try:
            token = login.login(
                endpoints.token_url,
                credentials.username,
                credentials.password,
                ca_bundle=endpoints.public_ca_bundle,
            )
        except errors.PiaError as error:
            log.warning("login: %s", error.message, extra=about(error.reason))
            own, _ = self._accounts(name)
            delay = retry_delay(error, accounts.failures(credentials, own))
            failure = model.Failure(error.reason, error.message, _now() + delay)
            self._record(name, *accounts.after_failure(credentials, own, failure))
            return
        log.info("logged in to PIA", extra=about("LoggedIn"))
        self._record(name, accounts.after_login(credentials, _now()), token)

    def _look_up(self, vpn: piavpns.PiaVpn, dedicated_token: str) -> None:
        name = vpn.spec.credentials_secret_ref.account_name
        secret = self._cluster.get(kube.SECRETS, name, self._settings.namespace)
        account, token = accounts.read(secret), accounts.read_token(secret)
        if account is None or not token:
            return  # a login has failed since the decision
        self._dedicated.refresh(
            vpn.spec.endpoints, dedicated_token, token=token, issued=account.token_time
        )

    def _accounts(self, name: str) -> tuple[model.Object | None, list[model.Object]]:
        """Return the account's Secret, as a pass finds it, and those of the others."""
        found = self._cluster.list(kube.SECRETS, self._settings.namespace, labels=accounts.LABEL)
        others = [secret for secret in found if secret["metadata"]["name"] != name]
        own = next((secret for secret in found if secret["metadata"]["name"] == name), None)
        return own, others

    def _record(self, name: str, account: model.Account, token: str | None) -> None:
        body = accounts.secret(name, self._settings.namespace, account, token)
        self._cluster.apply(kube.SECRETS, body, manager=names.MANAGER_OPERATOR)


def retry_delay(error: errors.PiaError, failures: int) -> timedelta:
    """Return how long to leave PIA alone after this error. A changed Secret does not wait.

    Args:
        error: what the login ended with.
        failures: how many in a row had failed before it.
    """
    if isinstance(error, errors.RateLimited):
        asked = timedelta(seconds=error.retry_after or 0)
        return min(max(_LOCKOUT, asked), model.LONGEST_WAIT)
    if isinstance(error, errors.BadCredentials | errors.SubscriptionExpired):
        return _LOCKOUT
    delay = _RETRY * 2.0 ** min(failures, _MOST_DOUBLINGS)
    return min(delay, _LONGEST_RETRY / 2) * random.uniform(1, 2)  # noqa: S311 - spreads retries


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
