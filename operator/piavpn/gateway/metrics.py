"""The gateway's metrics: read from its memory, from the link and from its own rules."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from prometheus_client.core import Metric

from piavpn import metrics
from piavpn.api import conditions
from piavpn.gateway import inputs, rules
from piavpn.gateway.memory import Memory
from piavpn.gateway.portreport import PortReport
from piavpn.gateway.session import Session
from piavpn.gateway.tally import Tally
from piavpn.net import nft, wg
from piavpn.pia import calls

log = logging.getLogger(__name__)

_VPN = ("vpn",)


class Tunnel(Protocol):
    """What is to be known of the tunnel, from any thread."""

    def memory(self) -> Memory:
        """Return what is known of it."""

    def tally(self) -> Tally:
        """Return what has happened to it."""


class Metrics:
    """Reads them all; from any thread."""

    def __init__(
        self,
        vpn: str,
        config: pathlib.Path,
        tunnel: Tunnel,
        port: Callable[[], PortReport | None],
    ) -> None:
        """Read those of one VPN.

        Args:
            vpn: name of the PiaVpn.
            config: the file in which the operator says when the session is renewed.
            tunnel: the tunnel.
            port: returns what is so of the forwarded port; None where there is to be none.
        """
        self._vpn = vpn
        self._config = config
        self._tunnel = tunnel
        self._port = port

    def read(self) -> Iterator[Metric]:
        """Return them. Of a session or a port that is not there nothing is told."""
        memory = self._tunnel.memory()
        up = metrics.gauge("tunnel_up", "Whether the tunnel's server answers through it.", _VPN)
        up.add_metric([self._vpn], memory.session is not None)
        yield up
        if memory.session is not None:
            yield from self._session(memory.session)
            yield from self._exit_address(memory)
        yield from self._happened(self._tunnel.tally())
        report = self._port()
        if report is not None:
            yield from self._forwarded_port(report)
        yield from self._dropped()
        yield metrics.histogram(
            "pia_request_duration_seconds",
            "How long calls to PIA took.",
            ["call", "result"],
            calls.MADE,
        )

    def _session(self, session: Session) -> Iterator[Metric]:
        info = metrics.gauge(
            "session_info", "The server that the session is at.", (*_VPN, "region", "server")
        )
        info.add_metric([self._vpn, session.region, session.cn], 1)
        registered = metrics.gauge(
            "session_registered_timestamp_seconds", "When the session began.", _VPN
        )
        registered.add_metric([self._vpn], session.registered_time.timestamp())
        renew = metrics.gauge(
            "session_renew_timestamp_seconds", "When the session is to be renewed.", _VPN
        )
        if (time := self._renew_time(session)) is not None:
            renew.add_metric([self._vpn], time.timestamp())
        shaken = metrics.gauge(
            "handshake_timestamp_seconds", "When the session's last handshake was.", _VPN
        )
        if (handshake := _latest_handshake(session)) is not None:
            shaken.add_metric([self._vpn], handshake.timestamp())
        yield from (info, registered, renew, shaken)

    def _renew_time(self, session: Session) -> datetime | None:
        try:
            renewal = inputs.read_config(self._config).renewal
        except inputs.InputError:
            return None
        appointed = renewal is not None and renewal.public_key == session.public_key
        return renewal.time if renewal is not None and appointed else None

    def _exit_address(self, memory: Memory) -> Iterator[Metric]:
        info = metrics.gauge(
            "exit_address_info", "The address that the Internet sees.", (*_VPN, "address")
        )
        if memory.exit_address is not None:
            info.add_metric([self._vpn, str(memory.exit_address)], 1)
        yield info

    def _happened(self, tally: Tally) -> Iterator[Metric]:
        registrations = metrics.counter(
            "registrations", "Attempts at a session.", (*_VPN, "result")
        )
        renewals = metrics.counter("renewals", "Attempts to renew the session.", (*_VPN, "result"))
        for family, counts in (
            (registrations, tally.registrations),
            (renewals, tally.renewals),
        ):
            for result, count in counts.items():
                family.add_metric([self._vpn, result], count)
        failovers = metrics.counter(
            "failovers", "Sessions that were given up because they were dead.", _VPN
        )
        failovers.add_metric([self._vpn], tally.failovers)
        changes = metrics.counter(
            "exit_address_changes", "Changes of the address that the Internet sees.", _VPN
        )
        changes.add_metric([self._vpn], tally.exit_address_changes)
        yield from (registrations, renewals, failovers, changes)

    def _forwarded_port(self, report: PortReport) -> Iterator[Metric]:
        bound = metrics.gauge(
            "port_forwarded", "Whether the session's server forwards the port.", _VPN
        )
        bound.add_metric([self._vpn], report.condition.status is conditions.Status.TRUE)
        is_open = metrics.gauge(
            "forwarded_port_open", "Whether the port was reached from the Internet.", _VPN
        )
        if report.is_open is not None and report.is_open.status is not conditions.Status.UNKNOWN:
            is_open.add_metric([self._vpn], report.is_open.status is conditions.Status.TRUE)
        yield from (bound, is_open)
        port = report.forwarded_port
        if port is None:
            return
        info = metrics.gauge("forwarded_port_info", "The port.", (*_VPN, "port"))
        info.add_metric([self._vpn, str(port.port)], 1)
        expiry = metrics.gauge(
            "forwarded_port_expiry_timestamp_seconds", "When PIA takes the port back.", _VPN
        )
        expiry.add_metric([self._vpn], port.expires_at.timestamp())
        last = metrics.gauge(
            "forwarded_port_bound_timestamp_seconds", "When the port was bound last.", _VPN
        )
        if port.last_bound_at is not None:
            last.add_metric([self._vpn], port.last_bound_at.timestamp())
        yield from (info, expiry, last)

    def _dropped(self) -> Iterator[Metric]:
        dropped = metrics.Drops("tunnel_dropped", "that the gateway's own rules have dropped", _VPN)
        try:
            dropped.add([self._vpn], nft.counters(rules.TABLE), rules.DROPPED)
        except nft.NftError as error:
            log.warning("the rules' counters cannot be read: %s", error)
        yield from dropped.families


def _latest_handshake(session: Session) -> datetime | None:
    try:
        return wg.show(session.link).latest_handshake
    except wg.WgError:
        return None
