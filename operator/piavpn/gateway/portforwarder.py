"""Keeps the forwarded port: a thread beside the gateway's loop, which it never holds up."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import random
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from piavpn import logs
from piavpn.api import conditions, protocols
from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import (
    events,
    forwarded,
    inputs,
    leading,
    outside,
    portforward,
    portreport,
    portstore,
)
from piavpn.gateway.reasons import Reason
from piavpn.gateway.session import Session
from piavpn.net import nft
from piavpn.pia import errors
from piavpn.pia import portforward as api
from piavpn.pia.portforward import SignedPort

log = logging.getLogger(__name__)

CALL_SECONDS = 6.0
_WAIT_SECONDS = 0.25
_PAUSE_SECONDS = 5.0
"""After something that nobody expected."""


class Tunnel(Protocol):
    """What is to be known of the tunnel that the port comes by."""

    def current(self) -> Session | None:
        """Return the session that new connections use."""

    def hear_of_port(self, session: Session, *, forwards: bool) -> None:
        """Take whether this session's server forwards the port."""

    def exits(self) -> frozenset[ipaddress.IPv4Address]:
        """Return the addresses under which the Internet may see it."""


class Audience(Protocol):
    """Who is told what becomes of the port; neither call may block."""

    def show_port(self, report: portreport.PortReport | None) -> None:
        """Take what the status should say; None where there is to be no port."""

    def tell(self, event: events.Event) -> None:
        """Take what happened."""


class PortForwarder:
    """Signs, binds and forwards one VPN's port for as long as an app wants it."""

    def __init__(
        self,
        files: inputs.Files,
        tunnel: Tunnel,
        audience: Audience,
        store: portstore.Store,
        dice: random.Random,
    ) -> None:
        """Take up the port that was kept.

        Args:
            files: where the pod has its inputs.
            tunnel: the session; asked from the thread.
            audience: who is told.
            store: where the port is kept.
            dice: spreads the calls of many gateways.
        """
        self._files = files
        self._tunnel = tunnel
        self._audience = audience
        self._store = store
        self._dice = dice
        self._memory = portforward.Memory(held=store.load())
        self._config: GatewayConfig | None = None
        self._leading = leading.Leading()
        self._report: portreport.PortReport | None = None
        self._said = "off"

    def start(self) -> None:
        """Start the thread; the gateway's rules are there, its loop does not turn yet.

        What was kept is told and led on before the first status is written without it.
        """
        self._store.start()
        self._try()
        threading.Thread(target=self._run, name="portforward", daemon=True).start()

    def report(self) -> portreport.PortReport | None:
        """Return what was told last; None where there is to be no port. From any thread."""
        return self._report

    def _run(self) -> None:
        while True:
            time.sleep(self._try())

    def _try(self) -> float:
        """Take a turn; return the seconds until the next one."""
        try:
            self._turn()
        except (nft.NftError, OSError) as error:
            log.error("port forwarding: %s", error)  # noqa: TRY400 - the message says it all
            return _PAUSE_SECONDS
        except Exception:
            log.exception("port forwarding failed unexpectedly")
            return _PAUSE_SECONDS
        return _PAUSE_SECONDS if self._leading.unfinished else _WAIT_SECONDS

    def _turn(self) -> None:
        self._read_config()
        if self._config is None:
            return
        around = self._look(self._config)
        self._memory = self._memory.aged(around.now)
        if around.session is not None:
            self._memory = self._memory.at(around.session)
        step = portforward.next_step(around, self._memory)
        self._forward(self._config)
        self._take(step, around, self._config)
        self._forward(self._config)
        forwards = portforward.forwards(self._memory, time.monotonic())
        if around.session is not None and forwards is not None:
            self._tunnel.hear_of_port(around.session, forwards=forwards)
        report = portreport.of(
            self._memory,
            step,
            self._config.port_forwarding,
            checkable=around.checkable,
            moves_on=forwards is False,
        )
        self._report = report
        self._audience.show_port(report)
        self._answer(step, around, report)
        if report is None:
            self._say("off")
        else:
            said = report.condition
            level = logging.WARNING if _is_trouble(said) else logging.INFO
            self._say(said.message, said.reason, level=level)

    def _read_config(self) -> None:
        """Read what the operator tells; what was told last holds while it cannot be read."""
        try:
            self._config = inputs.read_config(self._files.config)
        except inputs.InputError as error:
            self._say(str(error), level=logging.WARNING)

    def _look(self, config: GatewayConfig) -> portforward.Around:
        return portforward.Around(
            wanted=config.port_forwarding is not None,
            session=self._tunnel.current(),
            token=inputs.read_token(self._files.token),
            checkable=_is_checkable(config),
            now=datetime.now(UTC),
            clock=time.monotonic(),
            asked=config.port_check_requested_time,
        )

    def _take(
        self, step: portforward.Step, around: portforward.Around, config: GatewayConfig
    ) -> None:
        match step:
            case portforward.Sign(session, token):
                self._sign(_api(session, config), token)
            case portforward.Bind(session, port):
                self._bind(_api(session, config), port, around)
            case portforward.TryFromOutside(session, port):
                self._try_from_outside(session, port, config)

    def _sign(self, server: api.Api, token: str) -> None:
        try:
            signed = server.sign(token, timeout=CALL_SECONDS)
        except errors.PiaError as error:
            self._memory = self._memory.not_signed(error, time.monotonic(), self._dice)
        else:
            self._memory = self._memory.signed(signed)

    def _bind(self, server: api.Api, port: SignedPort, around: portforward.Around) -> None:
        try:
            server.bind(port, timeout=CALL_SECONDS)
        except errors.PiaError as error:
            self._memory = self._memory.not_bound(port, error, time.monotonic(), self._dice)
            return
        is_new = port != self._memory.held
        self._memory = self._memory.bound(port, around, self._dice)
        if is_new:
            self._store.keep(port)

    def _try_from_outside(self, session: Session, port: int, config: GatewayConfig) -> None:
        try:
            is_open, why = outside.reaches(session, port, config), ""
        except errors.PiaError as error:
            is_open, why = None, error.message
        self._memory = self._memory.checked(is_open, why, time.monotonic())

    def _answer(
        self,
        step: portforward.Step,
        around: portforward.Around,
        report: portreport.PortReport | None,
    ) -> None:
        """Tell who asked for a try from outside what came of it: after the status says so."""
        event = portreport.answer(step, report)
        if event is not None and portforward.is_asked(around, self._memory):
            self._memory = dataclasses.replace(self._memory, answered=around.asked)
            self._audience.tell(event)

    def _forward(self, config: GatewayConfig) -> None:
        """Have the port lead to the receiver.

        A port that is not bound yet is led there, too, so that nothing of it is ever lost.

        Raises:
            NftError: the kernel refused.
        """
        ports = {p.port for p in (self._memory.held, self._memory.fresh) if p is not None}
        self._leading.lead(forwarded.ways(config.port_forwarding, ports), self._tunnel.exits())

    def _say(self, line: str, reason: str | None = None, *, level: int = logging.INFO) -> None:
        if line != self._said:
            log.log(level, "port forwarding: %s", line, extra=logs.why(reason))
            self._said = line


def _is_trouble(said: conditions.Condition) -> bool:
    """Tell whether it is no mere step on the way to a port."""
    waits = {Reason.BINDING, Reason.NO_TUNNEL}
    return said.status is conditions.Status.FALSE and said.reason not in waits


def _is_checkable(config: GatewayConfig) -> bool:
    """Tell whether somebody can try the port: by TCP, which all such services do."""
    wanted = config.port_forwarding
    by_tcp = wanted is not None and protocols.Protocol.TCP in wanted.protocol.protocols
    return by_tcp and config.port_check_url is not None


def _api(session: Session, config: GatewayConfig) -> api.Api:
    return api.Api(session.cn, session.server_vip, session.link, config.ca_bundle)
