"""The gateway's loop: look around, decide, act, and let the status be known."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import (
    attempt,
    decide,
    inputs,
    probe,
    resolver,
    rules,
    session,
    status,
    tunnel,
)
from piavpn.gateway.memory import Memory
from piavpn.gateway.session import Session
from piavpn.gateway.slots import SLOTS
from piavpn.gateway.surroundings import Observer
from piavpn.net import nft

log = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
"""No turn lasts that long unless something hangs."""
_WAIT_SECONDS = 0.2
_PING_SECONDS = 1.0
"""A ping each second, which has that long to be answered."""
_SLOT = SLOTS[0]


class Gateway:
    """One VPN's tunnel."""

    def __init__(
        self,
        files: inputs.Files,
        show: Callable[[status.Report], None],
        dice: random.Random,
    ) -> None:
        """Take up what an earlier process of this pod left.

        Args:
            files: where inputs and state are.
            show: called with what the status should say; must not block.
            dice: spreads retries of many gateways.
        """
        self._files = files
        self._session_file = files.state / "session.json"
        self._show = show
        self._dice = dice
        self._observer = Observer(files)
        self._memory = Memory(kept=session.load(self._session_file))
        self._resolver: resolver.Resolver | None = None
        self._said = ""
        self._turned = time.monotonic()

    def start(self) -> None:
        """Set what holds with and without a session.

        Raises:
            NftError: the rules are refused.
            NetlinkError: the routes are refused.
        """
        nft.load(rules.ruleset(_SLOT))
        tunnel.prepare(self._memory.kept)

    def live(self) -> bool:
        """Tell whether the loop goes on."""
        return time.monotonic() - self._turned < STUCK_SECONDS

    def ready(self) -> bool:
        """Tell whether the tunnel is up."""
        return self._memory.session is not None

    def turn(self) -> None:
        """Take one step and the time that it needs.

        Raises:
            NftError: nft does not work here at all.
        """
        self._turned = time.monotonic()
        around = self._observer.look()
        if around.config is not None and not around.missing:
            self._start_resolver(around.config)
        step = decide.next_step(around, self._memory, time.monotonic())
        if report := status.of_step(step, self._memory.failure):
            self._show(_with_candidates(report, around.config))
        self._take(step)

    def stop(self) -> None:
        """End what the gateway started; the tunnel itself ends with its pod."""
        if self._resolver is not None:
            self._resolver.stop()

    def _take(self, step: decide.Step) -> None:
        match step:
            case decide.Wait(why):
                self._say(f"waiting: {why.reason}: {why.message}")
                time.sleep(_WAIT_SECONDS)
            case decide.Adopt(kept):
                self._adopt(kept)
            case decide.Register():
                self._register(step)
            case decide.Watch(current):
                self._watch(current)
            case decide.GiveUp(current, why):
                self._say(f"{why.reason}: {why.message}")
                self._memory = self._memory.ended(current, why, time.monotonic(), self._dice)

    def _start_resolver(self, config: GatewayConfig) -> None:
        if self._resolver is None:
            resolv_conf = self._files.resolv_conf.read_text(encoding="utf-8")
            self._resolver = resolver.Resolver(self._files.state, config, resolv_conf)
            self._resolver.start()

    def _adopt(self, kept: Session) -> None:
        if tunnel.carries(kept) and attempt.answers(kept):
            self._say(f"adopted the session at {kept.place}")
            self._use(kept)
        else:
            self._say(f"the session at {kept.place} of an earlier process is dead")
            self._memory = self._memory.not_adopted()

    def _register(self, step: decide.Register) -> None:
        self._say(f"registering at {step.server.cn} ({step.server.region})")
        try:
            made = attempt.make(step, _SLOT)
        except attempt.TokenRejectedError as error:
            self._say(f"{error.failure.reason}: {error}")
            self._memory = self._memory.rejected(step.token, error.failure, time.monotonic())
        except attempt.AttemptError as error:
            self._say(f"{error.failure.reason}: {error}")
            now = time.monotonic()
            self._memory = self._memory.failed(step.server, error.failure, now, self._dice)
        else:
            self._say(f"the tunnel to {made.place} is up")
            self._use(made)

    def _use(self, proven: Session) -> None:
        session.save(self._session_file, proven)
        if self._resolver is not None:
            self._resolver.use(proven)
        self._memory = self._memory.proven(
            proven, received=tunnel.received(proven) or 0, now=time.monotonic()
        )

    def _watch(self, current: Session) -> None:
        started = time.monotonic()
        answered = probe.ping(current.link, current.server_vip, timeout=_PING_SECONDS)
        received = tunnel.received(current)
        self._memory = self._memory.watched(answered=answered, received=received)
        time.sleep(max(0.0, started + _PING_SECONDS - time.monotonic()))

    def _say(self, line: str) -> None:
        if line != self._said:
            log.info("%s", line)
            self._said = line


def _with_candidates(report: status.Report, config: GatewayConfig | None) -> status.Report:
    addresses = tuple(server.address for server in config.servers) if config is not None else ()
    return dataclasses.replace(report, candidates=addresses)
