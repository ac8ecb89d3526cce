"""What is asked beside the loop, for an answer may take long, and what becomes known by it."""

from __future__ import annotations

import ipaddress
import logging
import time

from piavpn.api.gateway_config import GatewayConfig
from piavpn.gateway import asked, outside, probe, silence, tunnel
from piavpn.gateway.errand import Errand
from piavpn.gateway.memory import Memory
from piavpn.gateway.roles import Current
from piavpn.gateway.session import Session

log = logging.getLogger(__name__)

_PING_SECONDS = 1.0
_LAST_PING_SECONDS = 0.5
"""What a lost session costs the one that takes its place."""


class Inquirer:
    """Asks the current session what its pings do not tell, and a lost one whether it lives."""

    def __init__(self) -> None:
        self._outside: Errand[tuple[Session, bool]] = Errand("outside")
        self._exit: Errand[tuple[Session, ipaddress.IPv4Address | None]] = Errand("exit address")
        self._silence: Errand[tuple[Session, bool]] = Errand("silence")
        self._port: tuple[Session, bool] | None = None

    def hear_of_port(self, session: Session, *, forwards: bool) -> None:
        """Take whether this session's server forwards the port; from any thread."""
        self._port = (session, forwards)

    def ask(self, current: Current, config: GatewayConfig | None) -> None:
        """Begin to ask what is due to be asked."""
        session, now = current.session, time.monotonic()
        if self._outside.idle and current.outside.due <= now:
            self._outside.begin(lambda: (session, outside.is_there(session)))
        if config is not None and self._exit.idle and current.exit.due <= now:
            self._exit.begin(lambda: (session, outside.seen_as(session, config)))

    def told(self, memory: Memory) -> Memory:
        """Return the memory after what became known since; the lost session is asked again."""
        memory, now = self._listened(memory), time.monotonic()
        if (beyond := self._outside.outcome()) is not None:
            session, answered = beyond
            memory = asked.outside(memory, session, answered=answered, now=now)
        if (exit_ := self._exit.outcome()) is not None:
            memory = asked.exit_address(memory, *exit_, now)
        if self._port is not None:
            session, forwards = self._port
            memory = asked.port(memory, session, forwards=forwards, now=now)
        return memory

    def told_at_last(self, memory: Memory) -> Memory:
        """Return the memory after the lost session was asked before another one takes its place.

        Where the node was cut off, both answer at the same moment.
        """
        if memory.lost is None or not _answers(memory.lost.session, _LAST_PING_SECONDS):
            return memory
        return _found(memory, memory.lost.session)

    def _listened(self, memory: Memory) -> Memory:
        heard = self._silence.outcome()
        if memory.lost is None:
            return memory
        session = memory.lost.session
        if heard == (session, True):
            return _found(memory, session)
        if self._silence.idle:
            self._silence.begin(lambda: (session, _answers(session, _PING_SECONDS)))
        return memory


def _answers(session: Session, seconds: float) -> bool:
    return probe.ping(session.link, session.server_vip, timeout=seconds)


def _found(memory: Memory, lost: Session) -> Memory:
    log.info("%s answers again", lost.place)
    return silence.ended(memory, received=tunnel.received(lost) or 0)
